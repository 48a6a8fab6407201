"""Whether a galaxy stands in the middle of a cutout, as bright as it should be."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, maximum_filter

from darkhaloscope.sim.colours import ColourGrid
from darkhaloscope.sim.inject import sky_sigma
from darkhaloscope.sim.measure import APERTURE_ARCSEC
from darkhaloscope.units import mag_from_flux, stamp_center

BRIGHTEST_M_R, FAINTEST_M_R = -25.0, -19.5
"""AB, rest frame: lens galaxies of SLACS reach from -20.5 to -24.3 (Auger et al. 2009, with r =
V - 0.32); half a magnitude of room on either side, and what the aperture leaves out."""
USUAL_MAG_R = (12.5, 22.5)
"""AB, where neither magnitude nor redshift is known: from the brightest SLACS host to what 95 % of
DESI's luminous red galaxies exceed (EVIDENCE section 5), with half a magnitude of room."""
APERTURE_LOSS_MAG = 1.0
"""What an aperture of 2 arcsec leaves out of a large galaxy: a de Vaucouleurs profile of r_e 3
arcsec, as of a large SLACS lens, has 39 % of its light there."""

_ELLIPTICAL = 3.0
_SMOOTH_ARCSEC = 0.45
_LEAST_SNR = 5.0
_APERTURE_SNR_ARCSEC = 1.0


@dataclass(frozen=True)
class Central:
    """The source of light nearest to a position."""

    off_arcsec: float  # NaN if there is none
    mag_r: float  # AB, within 2 arcsec of it; NaN if not positive
    snr: float


def nearest_source(image: np.ndarray, at: tuple[float, float], pixel_scale: float) -> Central:
    """The peak of r + z, of 5 sigma at least, nearest to `at` (arcsec from the stamp's centre).

    image : (band, y, x) g r z, nmgy
    """
    image = np.nan_to_num(image.astype(float))
    image = image - np.median(image, axis=(-2, -1), keepdims=True)
    n = image.shape[-1]
    y, x = (np.indices((n, n)) - stamp_center(n)) * pixel_scale
    noise = np.maximum(sky_sigma(image), 1e-9)
    seen = image[1] / noise[1] + image[2] / noise[2]
    peaks = _peaks(seen, x, y, pixel_scale)
    if not len(peaks):
        return Central(math.nan, math.nan, 0.0)
    far = np.hypot(peaks[:, 0] - at[0], peaks[:, 1] - at[1])
    px, py, snr = peaks[far.argmin()]
    inside = np.hypot(x - px, y - py) < APERTURE_ARCSEC
    return Central(float(far.min()), float(mag_from_flux(image[1][inside].sum())), float(snr))


def _peaks(seen: np.ndarray, x, y, pixel_scale: float) -> np.ndarray:
    """Places (arcsec, to a part of a pixel) and S/N of local maxima: (peak, 3)."""
    smooth = gaussian_filter(seen, _SMOOTH_ARCSEC / pixel_scale)
    highest = (smooth == maximum_filter(smooth, 5)) & (smooth > 0)
    found = []
    for row, column in np.argwhere(highest):
        near = np.hypot(x - x[row, column], y - y[row, column]) < _APERTURE_SNR_ARCSEC
        snr = seen[near].sum() / math.sqrt(2 * near.sum())  # two bands of unit noise
        if snr >= _LEAST_SNR:
            dx, dy = (_vertex(smooth, row, column, step) for step in ((0, 1), (1, 0)))
            found.append(
                (x[row, column] + dx * pixel_scale, y[row, column] + dy * pixel_scale, snr)
            )
    return np.array(found).reshape(-1, 3)


def _vertex(smooth: np.ndarray, row: int, column: int, step: tuple[int, int]) -> float:
    """Where the parabola through a peak and its neighbours is highest, in pixels from the peak."""
    n = len(smooth)
    down, up = (row - step[0], column - step[1]), (row + step[0], column + step[1])
    if min(down) < 0 or max(up) >= n:
        return 0.0
    low, middle, high = smooth[down], smooth[row, column], smooth[up]
    bend = low - 2 * middle + high
    return float(np.clip(0.5 * (low - high) / bend, -0.5, 0.5)) if bend < 0 else 0.0


def expected_mag_r(
    known: float, z_lens: float, tolerance: float, grid: ColourGrid
) -> tuple[float, float]:
    """The r magnitudes, bright and faint, that the galaxy may have within 2 arcsec.

    known : of a catalogue, NaN if there is none: within `tolerance` of it
    z_lens : NaN if not known; else those of an elliptical from BRIGHTEST_M_R to FAINTEST_M_R there
    """
    if math.isfinite(known):
        return known - tolerance, known + tolerance + APERTURE_LOSS_MAG
    if not math.isfinite(z_lens):
        return USUAL_MAG_R
    old, at = np.array([_ELLIPTICAL]), np.array([z_lens])
    carried = grid.mag("r", old, at)[0] - grid.mag("r", old, np.zeros(1))[0]
    shift = float(carried + grid.distance_modulus(at)[0])
    return BRIGHTEST_M_R + shift, FAINTEST_M_R + shift + APERTURE_LOSS_MAG
