"""Light onto the sky: photon noise of what is added, host pixels otherwise untouched."""

from collections.abc import Iterable

import numpy as np

from darkhaloscope.flags import Flag
from darkhaloscope.units import stamp_center

CORE_ARCSEC = 2.0
"""A masked or saturated pixel this near the host spoils the cutout."""

_DIM = 0.1
"""Electrons in a pixel."""

_MASKED_BITS = 1 << 1 | 0b111 << 5 | 1 << 10  # BRIGHT, ALLMASK_grz, BAILOUT (Legacy Surveys DR10)
_SATURATED_BITS = 0b111 << 2  # SATUR_grz


def inject(
    hosts: np.ndarray,
    arcs: np.ndarray,
    gains: np.ndarray,
    rngs: Iterable[np.random.Generator],
    *,
    photon_noise: bool = True,
) -> np.ndarray:
    """Stamps: host plus added light plus the Poisson noise of that light alone.

    hosts, arcs : (row, band, y, x), nmgy, float32; the host brings its own sky noise
    gains : (row, band), electrons per nmgy
    rngs : one generator a row, taken when the row's turn comes
    Returns (row, band, y, x) float32; a row whose arc is 0 everywhere is its host bit for bit
    """
    stamps = hosts.astype(np.float32, copy=True)
    for stamp, arc, gain, rng in zip(stamps, arcs, gains, rngs, strict=True):
        if arc.any():
            light = arc.astype(np.float64)
            noise = poisson_residual(light, gain[:, None, None], rng) if photon_noise else 0.0
            stamp[:] += (light + noise).astype(np.float32)
    return stamps


def poisson_residual(light, gain, rng) -> np.ndarray:
    """Noise of zero mean that `light` (nmgy) brings at `gain` (e-/nmgy); none where it is dark."""
    electrons = np.clip(light * gain, 0, None)
    return (_poisson(electrons, rng) - electrons) / gain


def _poisson(mean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Poisson numbers of these means; dim pixels are thinned together, at less than half the time.

    As many electrons as _DIM a pixel would bring fall anywhere, and each is kept with the
    probability that its pixel's mean is of _DIM (Lewis & Shedler 1979).
    """
    flat = mean.ravel()
    fallen = rng.integers(flat.size, size=rng.poisson(_DIM * flat.size), dtype=np.uint32)
    there = flat[fallen]
    kept = fallen[(there < _DIM) & (_DIM * rng.random(len(fallen)) < there)]
    counts = np.bincount(kept, minlength=flat.size)
    bright = np.flatnonzero(flat >= _DIM)
    counts[bright] = rng.poisson(flat[bright])
    return counts.reshape(mean.shape)


def matched_snr(light: np.ndarray, invvar: np.ndarray) -> np.ndarray:
    """S/N per band of light of known shape, sqrt(sum f**2 invvar).

    light, invvar : (row, band, y, x), nmgy and nmgy**-2, NaN where nothing is known
    Returns (row, band)
    This is the S/N of the best linear filter for white noise, the field's detection S/N.
    """
    squares = np.empty(light.shape[:2])
    for i, (row, weight) in enumerate(zip(light, invvar, strict=True)):  # within the caches
        squares[i] = (row.astype(np.float64) ** 2 * np.fmax(weight, 0)).sum((-2, -1))
    return np.sqrt(squares)


def sky_sigma(image: np.ndarray) -> np.ndarray:
    """Noise of one pixel from the median absolute deviation; (..., y, x) to (...)."""
    deviation = np.abs(image - np.median(image, axis=(-2, -1), keepdims=True))
    return 1.4826 * np.median(deviation, axis=(-2, -1))


def crop(image: np.ndarray, size: int) -> tuple[np.ndarray, float]:
    """The central `size` pixels, and how far (pixels, both axes) the new centre moved.

    A parity change leaves the centre half a pixel off: subtract the shift from positions.
    Raises ValueError if the image is smaller than asked.
    """
    full = image.shape[-1]
    if size > full:
        raise ValueError(f"cannot cut a {size} pixel stamp from a {full} pixel cutout")
    start = (full - size) // 2
    shift = start + stamp_center(size) - stamp_center(full)
    return image[..., start : start + size, start : start + size], shift


def cutout_flags(image, invvar, maskbits, psf_fwhm, nexp, center, pixel_scale) -> Flag:
    """Causes that make one cutout unusable, whatever is put on it.

    image, invvar : (band, y, x); maskbits : (y, x); psf_fwhm, nexp : (band,)
    center : (x, y) of the host from the stamp's centre, arcsec
    A band that is missing has no other faults.
    """
    n = image.shape[-1]
    y, x = (np.indices((n, n)) - stamp_center(n)) * pixel_scale
    core = maskbits[np.hypot(x - center[0], y - center[1]) < CORE_ARCSEC]
    there = np.ptp(np.nan_to_num(image), axis=(-2, -1)) > 0
    psf_fwhm, nexp = np.asarray(psf_fwhm)[there], np.asarray(nexp)[there]
    causes = {
        Flag.NO_PSF: not (np.isfinite(psf_fwhm) & (psf_fwhm > 0)).all(),
        Flag.MISSING_BAND: not there.all(),
        Flag.NAN_PIXELS: not np.isfinite(image).all(),
        Flag.BAD_INVVAR: _bad_invvar(invvar[there]),
        Flag.MASKED_CORE: bool((core & _MASKED_BITS).any()),
        Flag.SATURATED: bool((core & _SATURATED_BITS).any()),
        Flag.NO_NOISE_MODEL: not (nexp > 0).all(),
    }
    return Flag(sum(flag for flag, present in causes.items() if present))


def _bad_invvar(invvar: np.ndarray) -> bool:
    if not np.isfinite(invvar).all() or (invvar < 0).any():
        return True
    return bool(((invvar == 0).mean(axis=(-2, -1)) > 0.5).any())
