"""Lensed images: rays from every sample to the source, then the PSF, all bands at once."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from darkhaloscope.sim.blur import observe
from darkhaloscope.sim.grid import Grid
from darkhaloscope.sim.lens import rotate, source_plane

_ROWS_AT_ONCE = 16  # bounds memory: a chunk of 64-pixel stamps needs about 100 MB


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


def render(scenes: Scenes, templates: Tensor, grid: Grid, **psf) -> Tensor:
    """Images of the scenes.

    templates : (template, y, x), each of unit flux
    psf : psf_model, moffat_beta and psf_includes_pixel, as `blur.observe` takes them
    Returns (row, band, y, x) : nmgy per pixel, in the templates' dtype; empty for no rows
    Raises ValueError for a bad scene, see Scenes.check
    """
    scenes.check(len(templates))
    images = [templates.new_empty((0, scenes.flux.shape[1], grid.size, grid.size))]
    for rows in _chunks(scenes):
        light = shoot(rows, templates, grid)[:, None]
        images.append(observe(light, rows.psf_fwhm, grid, **psf) * rows.flux[..., None, None])
    return torch.cat([image.to(templates.dtype) for image in images])


def magnification(scenes: Scenes, templates: Tensor, grid: Grid) -> Tensor:
    """Lensed over unlensed flux inside the grid and its margin, one number a row."""
    scenes.check(len(templates))
    totals = [shoot(rows, templates, grid).sum((-2, -1)) for rows in _chunks(scenes)]
    return torch.cat([templates.new_empty(0), *totals])


def _chunks(scenes: Scenes):
    for start in range(0, len(scenes), _ROWS_AT_ONCE):
        yield scenes[start : start + _ROWS_AT_ONCE]


def shoot(scenes: Scenes, templates: Tensor, grid: Grid) -> Tensor:
    """Unit-flux light at every ray, (row, y, x), flux per sample; no PSF, no band."""
    axis = grid.axis()
    dtype = templates.dtype

    def each(values: Tensor) -> Tensor:
        return values.to(dtype)[:, None, None]

    x = (axis - scenes.center_x.double()[:, None]).to(dtype)[:, None, :]
    y = (axis - scenes.center_y.double()[:, None]).to(dtype)[:, :, None]
    beta_x, beta_y = source_plane(
        *torch.broadcast_tensors(x, y),
        theta_E=each(scenes.theta_E),
        q=each(scenes.q),
        phi=each(scenes.phi),
        gamma1=each(scenes.gamma1),
        gamma2=each(scenes.gamma2),
    )
    u, v = rotate(
        beta_x - each(scenes.source_x), beta_y - each(scenes.source_y), each(scenes.source_phi)
    )
    scale = each(scenes.source_scale)
    return _sample(templates, scenes.template, u / scale, v / scale) * (grid.step / scale) ** 2


def _sample(templates: Tensor, index: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Bilinear values of each row's template at (u, v) template pixels from its centre."""
    height, width = templates.shape[-2:]
    where = torch.stack([2 * u / width, 2 * v / height], dim=-1)
    return grid_sample(templates[index][:, None], where, align_corners=False)[:, 0]


def stack(values: Sequence[float] | np.ndarray, dtype: torch.dtype = torch.float64) -> Tensor:
    """Plain numbers as a tensor; the sampling decides the working precision, not the columns."""
    return torch.as_tensor(values, dtype=dtype)
