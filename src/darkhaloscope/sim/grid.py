"""Pixels of a stamp and how truly they are rendered."""

import math
from dataclasses import dataclass

FINE = 2
"""Cells per pixel and axis to which rays are binned before the PSF."""

TOLERANCES = (1e-6, 0.02)


@dataclass(frozen=True)
class Grid:
    """A square stamp of `size` pixels of `pixel_scale` arcsec.

    tolerance : the error aimed at, in the worst pixel over the peak; docs/performance.md has what
        is reached
    margin : pixels around the stamp that are rendered too, so that their light is blurred in
    """

    size: int
    pixel_scale: float
    tolerance: float = 1e-3
    margin: int = 16

    def __post_init__(self):
        low, high = TOLERANCES
        if not low <= self.tolerance <= high:
            raise ValueError(f"tolerance must lie in [{low}, {high}], got {self.tolerance}")
        if self.size < 1 or not self.pixel_scale > 0 or self.margin < 0:
            raise ValueError(
                "a grid needs size >= 1, pixel_scale > 0 and margin >= 0, "
                f"got {self.size}, {self.pixel_scale}, {self.margin}"
            )

    @property
    def full(self) -> int:
        """Pixels on a side, margin included."""
        return self.size + 2 * self.margin

    @property
    def cell(self) -> float:
        """Side of a fine cell, arcsec."""
        return self.pixel_scale / FINE

    @property
    def doublings(self) -> int:
        """How often rays are doubled along an axis at most, beyond one a fine cell.

        An edge within a pixel costs a part of its light in inverse proportion to its rays, of
        which the PSF leaves some percent.
        """
        return max(1, round(math.log2(0.5 / math.sqrt(self.tolerance))))
