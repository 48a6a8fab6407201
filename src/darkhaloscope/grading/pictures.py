"""How an object looks to a grader: one PNG that holds all of its views, side by side."""

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from matplotlib.image import imsave

from darkhaloscope.report.colour import TYPICAL_SKY_SIGMA_NMGY, colour_excess, rgb
from darkhaloscope.sim.inject import sky_sigma
from darkhaloscope.sim.isophotes import outer_sky, smooth_galaxy
from darkhaloscope.units import BANDS, stamp_center

_CORE_ARCSEC = 0.65
_FAINT, _BRIGHT = 0.5, 4.0
"""Stretches beside the usual one, for faint arcs and for bright cores."""

_GRAY_SIGMA, _GRAY_SOFTENING = 60.0, 3.0
"""A single band's white, and where its stretch turns from linear, in sigma of its sky."""


@dataclass(frozen=True)
class View:
    """One way to look at a cutout."""

    name: str
    title: str
    about: str


VIEWS = (
    View("colour", "Colour", "g r z"),
    View("faint", "Faint", "g r z, stretched so that faint light shows"),
    View("bright", "Bright", "g r z, stretched so that the core shows"),
    View("subtracted", "Subtracted", "colour, less the central galaxy's isophotes"),
    View("difference", "Difference", "g less z in the core's colour: blue is bluer than the core"),
    *(View(band, f"{band} band", f"{band} alone") for band in BANDS),
)


def sheet(image: np.ndarray, pixel_scale: float) -> bytes:
    """PNG of all views from left to right, one pixel a pixel, row 0 below.

    image : (band, y, x), nmgy
    What is shown depends on the pixels alone: no column could tell a control.
    """
    shown = pictures(np.asarray(image, float), pixel_scale)
    row = np.concatenate([shown[view.name] for view in VIEWS], axis=1)
    buffer = BytesIO()
    imsave(buffer, row[::-1], format="png", pil_kwargs={"compress_level": 1})
    return buffer.getvalue()


def pictures(image: np.ndarray, pixel_scale: float) -> dict[str, np.ndarray]:
    """Each view by its name: (y, x, 3) uint8, row 0 at the bottom."""
    there = np.nan_to_num(image)
    sky, noise = outer_sky(there), sky_sigma(there)
    sigma = np.where(noise > 0, noise, TYPICAL_SKY_SIGMA_NMGY)
    light = image - sky[:, None, None]
    level = np.zeros(len(BANDS))
    left = light - smooth_galaxy(image, pixel_scale)
    return {
        "colour": rgb(light, sigma, level),
        "faint": rgb(light, sigma, level, _FAINT),
        "bright": rgb(light, sigma, level, _BRIGHT),
        "subtracted": rgb(left, sigma, level),
        "difference": colour_excess(light, sigma, _core_ratio(light, pixel_scale)),
        **{band: _gray(light[i], sigma[i]) for i, band in enumerate(BANDS)},
    }


def _core_ratio(light: np.ndarray, pixel_scale: float) -> float:
    """g over z flux at the centre; 0 where there is no light in z."""
    n = light.shape[-1]
    y, x = np.indices((n, n)) - stamp_center(n)
    core = np.hypot(x, y) * pixel_scale < _CORE_ARCSEC
    g, z = (np.nansum(light[BANDS.index(band)][core]) for band in ("g", "z"))
    return float(max(g / z, 0.0)) if z > 0 else 0.0


def _gray(band: np.ndarray, sigma: float) -> np.ndarray:
    """From a little below the sky to white, by asinh; pixels without data are black."""
    low, high = (np.arcsinh(s / _GRAY_SOFTENING) for s in (-2.0, _GRAY_SIGMA))
    value = (np.arcsinh(np.nan_to_num(band) / (_GRAY_SOFTENING * sigma)) - low) / (high - low)
    value[~np.isfinite(band)] = 0
    return np.repeat((value.clip(0, 1) * 255).round().astype(np.uint8)[..., None], 3, axis=2)
