"""A batch of scenes: what is rendered, one row each."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Deflectors:
    """Galaxies that bend light beside the main one of each row: (row, deflector) each.

    x, y : arcsec from the main deflector's centre; the rest as in Scenes
    """

    theta_E: Tensor
    q: Tensor
    phi: Tensor
    slope: Tensor
    x: Tensor
    y: Tensor

    def __getitem__(self, rows) -> "Deflectors":
        return Deflectors(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def to(self, device: torch.device | str) -> "Deflectors":
        """The same on another device."""
        return Deflectors(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


@dataclass(frozen=True)
class Scenes:
    """A batch of rows, each a lens, a source and a PSF. Angles in arcsec and rad, flux in nmgy.

    Shapes are (row,); `flux` and all of the PSF are (row, band). Centres are from the stamp's
    centre, source positions from the main deflector's. A row with theta_E = 0 and no shear shows
    its source unlensed.

    source_scale : side of a template pixel on the sky, or the half-light radius of a Sersic source
    template : which of the sources' templates or profiles
    shares : (row, band, part) of the flux, what each part of the source gives; for sources of more
        than one part
    slope : of the mass density, 2 (isothermal) if not given
    psf_e1, psf_e2 : (1 - q) / (1 + q) along the axes and along their diagonals, 0 if not given
    psf_image : which of the PSF's images, for a PSF given as images; its fwhm is then not used
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
    shares: Tensor | None = None
    slope: Tensor | None = None
    companions: Deflectors | None = None
    psf_e1: Tensor | None = None
    psf_e2: Tensor | None = None
    psf_image: Tensor | None = None

    def __post_init__(self):
        if (self.psf_e1 is None) != (self.psf_e2 is None):
            raise ValueError("give both psf_e1 and psf_e2, or neither")

    def __len__(self) -> int:
        return len(self.theta_E)

    def __getitem__(self, rows) -> "Scenes":
        return Scenes(**{name: values[rows] for name, values in self._given()})

    def to(self, device: torch.device | str) -> "Scenes":
        """The same on another device."""
        return Scenes(**{name: values.to(device) for name, values in self._given()})

    def deflectors(self) -> Deflectors:
        """All of them, the main one first, at the origin."""
        zero = torch.zeros_like(self.theta_E)
        slope = zero + 2 if self.slope is None else self.slope
        main = Deflectors(self.theta_E, self.q, self.phi, slope, zero, zero)
        columns = {f.name: getattr(main, f.name)[:, None] for f in fields(main)}
        if self.companions is not None:
            for name, values in columns.items():
                columns[name] = torch.cat([values, getattr(self.companions, name)], dim=1)
        return Deflectors(**columns)

    def check(self, n_sources: int, parts: int = 1) -> None:
        """Raise ValueError, naming the row, for anything the physics has no answer to."""
        for name, values in self._given():
            if isinstance(values, Tensor):
                _require(torch.isfinite(values), name, "be finite")
        bend = self.deflectors()
        for f in fields(bend):
            _require(torch.isfinite(getattr(bend, f.name)), f"a deflector's {f.name}", "be finite")
        _require((bend.q > 0) & (bend.q <= 1), "q", "lie in (0, 1]; pass minor/major")
        _require(bend.theta_E >= 0, "theta_E", "be >= 0 arcsec")
        _require((bend.slope > 1) & (bend.slope < 3), "slope", "lie between 1 and 3")
        _require(self.source_scale > 0, "source_scale", "be > 0 arcsec")
        _require(self.psf_fwhm > 0, "psf_fwhm", "be > 0 arcsec")
        _require(
            (self.template >= 0) & (self.template < n_sources),
            "template",
            f"lie in [0, {n_sources})",
        )
        given = None if self.shares is None else tuple(self.shares.shape)
        wanted = None if parts == 1 else (*self.flux.shape, parts)
        if given != wanted:
            raise ValueError(f"shares of sources of {parts} parts must be {wanted}, got {given}")
        if self.psf_e1 is not None and self.psf_e2 is not None:
            round_enough = torch.hypot(self.psf_e1, self.psf_e2) < 1
            _require(round_enough, "psf_e1 and psf_e2", "lie within the unit circle")

    def _given(self):
        """Name and values of every field that is not None."""
        named = ((f.name, getattr(self, f.name)) for f in fields(self))
        return [(name, values) for name, values in named if values is not None]


def _require(good: Tensor, name: str, rule: str) -> None:
    if not bool(good.all()):
        row = int((~good).reshape(len(good), -1).any(1).nonzero()[0])
        raise ValueError(f"{name} must {rule}; row {row} does not")


def stack(values: Sequence[float] | np.ndarray, dtype: torch.dtype = torch.float64) -> Tensor:
    """Plain numbers as a tensor; the sampling decides the working precision, not the columns."""
    return torch.as_tensor(values, dtype=dtype)
