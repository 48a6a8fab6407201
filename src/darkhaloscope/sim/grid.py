"""Pixels of a stamp and how finely they are sampled."""

from dataclasses import dataclass

import torch
from torch import Tensor

from darkhaloscope.units import stamp_center

FINE = 2
"""Cells per pixel and axis to which samples are binned before the PSF."""


@dataclass(frozen=True)
class Grid:
    """A square stamp of `size` pixels of `pixel_scale` arcsec, `supersampling` samples an axis.

    The margin is sampled like the stamp, so that light from just outside is blurred in; the pad
    is dark and keeps the far edge's light from wrapping around.
    """

    size: int
    pixel_scale: float
    supersampling: int = 4
    margin: int = 8
    pad: int = 16

    def __post_init__(self):
        if self.supersampling < FINE or self.supersampling % FINE:
            raise ValueError(
                f"supersampling must be an even number >= {FINE}, got {self.supersampling}"
            )
        if self.size < 1 or not self.pixel_scale > 0:
            raise ValueError(
                f"a grid needs size >= 1 and pixel_scale > 0, got {self.size}, {self.pixel_scale}"
            )

    @property
    def step(self) -> float:
        """Distance between samples, arcsec."""
        return self.pixel_scale / self.supersampling

    def axis(self) -> Tensor:
        """Positions of the samples along one axis, arcsec from the stamp's centre (float64)."""
        n = (self.size + 2 * self.margin) * self.supersampling
        return (torch.arange(n, dtype=torch.float64) - stamp_center(n)) * self.step
