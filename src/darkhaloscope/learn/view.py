"""The one place where a stamp becomes what a network sees."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from darkhaloscope.config import View
from darkhaloscope.evaluate.metrics import regions
from darkhaloscope.learn.batch import Batch
from darkhaloscope.sim.matching import to_broadest
from darkhaloscope.units import BANDS

USUAL_SKY_NMGY = (0.0018, 0.0034, 0.0076)
"""Noise of a pixel in g, r and z; the middle of what DR10 cutouts show."""

_BELOW = 0.1587
"""Share of a normal distribution that lies more than one sigma below its middle."""


@dataclass(frozen=True)
class Seen:
    """What a network is shown of some rows.

    channels : (row, channel, y, x), bands and then the difference; meta : (row, column), each of
    about zero mean and unit width
    k_core, k_global : (row,) g over z flux at one PSF, fitted to the core and to all of the stamp;
    None where no difference is shown
    """

    channels: Tensor
    meta: Tensor
    k_core: Tensor | None = None
    k_global: Tensor | None = None


@dataclass(frozen=True)
class Scaling:
    """Mean and width of each meta column over the training rows."""

    mean: tuple[float, ...] = ()
    width: tuple[float, ...] = ()

    @classmethod
    def of(cls, values: Sequence[np.ndarray]) -> "Scaling":
        """values : of each column, every training row's."""
        return cls(
            tuple(float(np.mean(v)) for v in values),
            tuple(float(np.std(v)) or 1.0 for v in values),
        )


def look(batch: Batch, view: View, scaling: Scaling = Scaling()) -> Seen:
    """The channels of rows, float32.

    Raises ValueError if the scaling is not of the view's meta columns
    """
    if len(scaling.mean) != len(view.meta_cols):
        raise ValueError(
            f"{len(view.meta_cols)} meta columns need as many means, got {len(scaling.mean)}"
        )
    chosen = [BANDS.index(band) for band in view.bands]
    light, noise = batch.images[:, chosen], batch.sky_sigma[:, chosen]
    usual = light.new_tensor([USUAL_SKY_NMGY[i] for i in chosen]).expand(len(light), -1)
    k_core = k_global = None
    if view.difference != "none":
        excess, k_core, k_global = difference(batch, view)
        k = k_core if view.difference == "core" else k_global
        light = torch.cat([light, excess[:, None]], dim=1)
        noise, usual = (
            torch.cat([of, torch.hypot(every[:, 0], k * every[:, 2])[:, None]], dim=1)
            for of, every in (
                (noise, batch.sky_sigma),
                (usual, light.new_tensor(USUAL_SKY_NMGY).expand(len(light), -1)),
            )
        )
    in_noise = _in_units_of_noise(light, noise, usual, view, batch.pixel_scale)
    meta = (batch.meta - batch.meta.new_tensor(scaling.mean)) / batch.meta.new_tensor(scaling.width)
    return Seen(_stretched(in_noise, view), meta, k_core, k_global)


def difference(batch: Batch, view: View) -> tuple[Tensor, Tensor, Tensor]:
    """g - k z at one PSF, (row, y, x), nmgy, with the k that the view names; both k.

    k is the least-squares ratio of g to z once the level of the outer annulus is taken off.
    """
    ends = [0, 2]
    matched = to_broadest(batch.images[:, ends], batch.psf_fwhm[:, ends], batch.pixel_scale)
    level = _sorted_outer(matched, batch.pixel_scale)
    g, z = (matched - level[..., level.shape[-1] // 2, None, None]).unbind(1)
    core = _where("core", g, batch.pixel_scale)
    whole = g.flatten(1), z.flatten(1)
    k_core, k_global = _ratio(*(image[:, core] for image in whole)), _ratio(*whole)
    k = k_core if view.difference == "core" else k_global
    return g - k[:, None, None] * z, k_core, k_global


def _ratio(g: Tensor, z: Tensor) -> Tensor:
    return ((g * z).sum(1) / (z * z).sum(1).clamp_min(1e-30)).clamp_min(0)


def _in_units_of_noise(
    light: Tensor, noise: Tensor, usual: Tensor, view: View, pixel_scale: float
) -> Tensor:
    """light : (row, channel, y, x); noise, usual : (row, channel), nmgy."""
    if view.norm_method == "outer":
        outer = _sorted_outer(light, pixel_scale)
        n = outer.shape[-1]
        middle, low = outer[..., n // 2], outer[..., round(_BELOW * (n - 1))]
        light, unit = light - middle[..., None, None], middle - low
    else:
        unit = noise if view.norm_method == "sky" else usual
    return light / unit.clamp_min(1e-12)[..., None, None]


def _stretched(x: Tensor, view: View) -> Tensor:
    """Linear near 0; asinh or sqrt beyond the softening.

    asinh by its logarithm, which processors take many at once: a fifth of torch.asinh's time
    """
    soft = view.softening
    if view.stretch == "asinh":
        size = (x / soft).abs()
        return torch.copysign(torch.log(size + torch.sqrt(size * size + 1)), x)
    if view.stretch == "sqrt":
        return torch.sign(x) * 2 * (torch.sqrt(1 + x.abs() / soft) - 1)
    return x / soft


def _sorted_outer(light: Tensor, pixel_scale: float) -> Tensor:
    """Pixels of the outer annulus, rising: (row, channel, pixel)."""
    outer = light.flatten(2).index_select(2, _where("outer", light, pixel_scale))
    if outer.device.type == "cpu":  # NumPy's sort takes a ninth of torch's time
        return torch.from_numpy(np.sort(outer.numpy(), axis=-1))
    return outer.sort(dim=-1).values


def _where(name: str, like: Tensor, pixel_scale: float) -> Tensor:
    """Flat numbers of the pixels of a region."""
    return _flat(name, like.shape[-1], pixel_scale).to(like.device)


@lru_cache(maxsize=8)
def _flat(name: str, size: int, pixel_scale: float) -> Tensor:
    return torch.from_numpy(np.flatnonzero(regions(size, pixel_scale)[name]))
