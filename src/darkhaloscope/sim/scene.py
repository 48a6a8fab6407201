"""A batch of scenes: what is rendered, one row each."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Scenes:
    """A batch of rows, each a lens, a source and a PSF. Angles in arcsec and rad, flux in nmgy.

    Shapes are (row,), `flux` and `psf_fwhm` (row, band). Centres are from the stamp's centre,
    source positions from the mass centre. `source_scale` is the side of a template pixel on the
    sky. A row with theta_E = 0 and no shear shows its source unlensed.
    """

    theta_E: Tensor
    q: Tensor
    phi: Tensor
    gamma1: Tensor
    gamma2: Tensor
    center_x: Tensor
    center_y: Tensor
    source_x: Tensor
    source_y: Tensor
    source_phi: Tensor
    source_scale: Tensor
    template: Tensor
    flux: Tensor
    psf_fwhm: Tensor

    def __len__(self) -> int:
        return len(self.theta_E)

    def __getitem__(self, rows) -> "Scenes":
        return Scenes(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def check(self, n_templates: int) -> None:
        """Raise ValueError, naming the row, for anything the physics has no answer to."""
        for field in fields(self):
            _require(torch.isfinite(getattr(self, field.name)), field.name, "be finite")
        _require((self.q > 0) & (self.q <= 1), "q", "lie in (0, 1]; pass minor/major")
        _require(self.theta_E >= 0, "theta_E", "be >= 0 arcsec")
        _require(self.source_scale > 0, "source_scale", "be > 0 arcsec")
        _require(self.psf_fwhm > 0, "psf_fwhm", "be > 0 arcsec")
        _require(
            (self.template >= 0) & (self.template < n_templates),
            "template",
            f"lie in [0, {n_templates})",
        )


def _require(good: Tensor, name: str, rule: str) -> None:
    if not bool(good.all()):
        row = int((~good).reshape(len(good), -1).any(1).nonzero()[0])
        raise ValueError(f"{name} must {rule}; row {row} does not")


def stack(values: Sequence[float] | np.ndarray, dtype: torch.dtype = torch.float64) -> Tensor:
    """Plain numbers as a tensor; the sampling decides the working precision, not the columns."""
    return torch.as_tensor(values, dtype=dtype)
