"""Lensed light as lenstronomy bends rays: a second opinion on the renderer, from a row's columns.

lenstronomy is optional (`pip install darkhaloscope[reference]`): without it the gate is skipped.
"""

import math
from collections.abc import Mapping

import numpy as np
from scipy.ndimage import map_coordinates
from scipy.signal import fftconvolve

from darkhaloscope.evaluate.findings import Finding, Level, passed
from darkhaloscope.units import BANDS, SIGMA_PER_FWHM, stamp_center

_PER_PIXEL = 7
_MARGIN_PIX = 8
_KERNEL_PIX = 32
_WORST, _FLUX = 0.02, 0.01
_GATE = "physics.lenstronomy"
_LIMIT = f"worst pixel within {_WORST:g} of the peak, flux within {_FLUX:g}, r"
_ABOUT = "Rendered light is that of lenstronomy's rays through the same columns."


def against_lenstronomy(
    rows: Mapping[str, np.ndarray], light: np.ndarray, templates: np.ndarray, scale: np.ndarray
) -> Finding:
    """rows : lenses, schema.STAMPS; light : (row, band, y, x), nmgy, as rendered from them

    templates : (row, y, x) of unit flux; scale : (row,) arcsec, side of a template pixel
    """
    try:
        import lenstronomy  # noqa: F401
    except ImportError:
        advice = "pip install darkhaloscope[reference]; its dependencies include non-free licences."
        return Finding(_GATE, Level.SKIP, "lenstronomy is not installed", _LIMIT, 0, _ABOUT, advice)
    named = rows["psf_model"] != "image"
    if not named.any():
        advice = "Only PSFs with a formula are compared."
        return Finding(_GATE, Level.SKIP, "PSFs are images", _LIMIT, 0, _ABOUT, advice)
    worst, flux = [], []
    for i in np.flatnonzero(named):
        row = {name: values[i] for name, values in rows.items()}
        theirs = lensed(row, templates[i], float(scale[i]))
        ours = light[i, BANDS.index("r")].astype(float)
        worst.append(np.abs(ours - theirs).max() / theirs.max())
        flux.append(abs(ours.sum() / theirs.sum() - 1))
    return Finding(
        _GATE,
        passed(max(worst) <= _WORST and max(flux) <= _FLUX),
        f"worst pixel {max(worst):.4f} of the peak, flux {max(flux):.4f}, over {len(worst)} rows",
        _LIMIT,
        len(np.unique(rows["host_id"][named].astype(str))),
        _ABOUT,
        "The renderer or a convention is wrong, such as a missing sqrt(q).",
    )


def lensed(row: Mapping[str, float], template: np.ndarray, scale: float) -> np.ndarray:
    """The r image of one row's lensed source, by brute force: (y, x), nmgy a pixel."""
    n = int(row["size_pix"])
    pixel = float(row["pixel_scale_arcsec"])
    fine = _unblurred(row, template, scale, n + 2 * _MARGIN_PIX, pixel)
    blurred = fftconvolve(fine, _kernel(row, pixel), mode="same")
    start = _MARGIN_PIX * _PER_PIXEL + _PER_PIXEL // 2
    stop = start + n * _PER_PIXEL
    return blurred[start:stop:_PER_PIXEL, start:stop:_PER_PIXEL]


def _unblurred(row, template: np.ndarray, scale: float, pixels: int, pixel: float) -> np.ndarray:
    """Flux of every ray, _PER_PIXEL along each side of a pixel."""
    from lenstronomy.LensModel.lens_model import LensModel
    from lenstronomy.Util.param_util import phi_q2_ellipticity

    side = pixels * _PER_PIXEL
    step = pixel / _PER_PIXEL
    y, x = (np.indices((side, side)) - stamp_center(side)) * step
    cx, cy = row["lens_center_x_arcsec"], row["lens_center_y_arcsec"]
    e1, e2 = phi_q2_ellipticity(row["lens_phi_rad"], row["lens_q"])
    sie = {"theta_E": row["theta_E_arcsec"], "e1": e1, "e2": e2, "center_x": cx, "center_y": cy}
    shear = {"gamma1": row["gamma1"], "gamma2": row["gamma2"], "ra_0": cx, "dec_0": cy}
    model = LensModel(["SIE", "SHEAR"])
    beta_x, beta_y = model.ray_shooting(x.ravel(), y.ravel(), [sie, shear])
    dx = beta_x - cx - row["source_x_arcsec"]
    dy = beta_y - cy - row["source_y_arcsec"]
    c, s = math.cos(row["source_phi_rad"]), math.sin(row["source_phi_rad"])
    middle = stamp_center(len(template)) + 1
    u, v = (c * dx + s * dy) / scale + middle, (c * dy - s * dx) / scale + middle
    seen = map_coordinates(np.pad(template, 1), [v, u], order=1).reshape(side, side)
    return seen * (step / scale) ** 2 * row["source_flux_r_nmgy"]


def _kernel(row, pixel: float) -> np.ndarray:
    """The effective PSF, which holds the pixel, at the rays' spacing; its flux on pixels is 1."""
    half = _KERNEL_PIX * _PER_PIXEL // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1] * (pixel / _PER_PIXEL)
    e1, e2 = row["psf_e1_r"], row["psf_e2_r"]
    e, angle = math.hypot(e1, e2), 0.5 * math.atan2(e2, e1)
    stretch = math.sqrt((1 + e) / (1 - e))
    along = (math.cos(angle) * x + math.sin(angle) * y) / stretch
    across = (math.cos(angle) * y - math.sin(angle) * x) * stretch
    r2 = along**2 + across**2
    fwhm, beta = row["psf_fwhm_r_arcsec"], row["moffat_beta"]
    if row["psf_model"] == "gaussian":
        variance = (fwhm * SIGMA_PER_FWHM) ** 2
        return pixel**2 * np.exp(-r2 / (2 * variance)) / (2 * math.pi * variance)
    core2 = (fwhm / (2 * math.sqrt(2 ** (1 / beta) - 1))) ** 2
    return pixel**2 * (beta - 1) / (math.pi * core2) * (1 + r2 / core2) ** -beta
