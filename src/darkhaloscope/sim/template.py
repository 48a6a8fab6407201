"""From an HST stamp to a source template: a galaxy on nothing, not rectified sky.

Clipping negative pixels turns noise into flux (EVIDENCE section 1). Here the galaxy is segmented,
the pedestal removed, neighbours masked, pixels inside the mask kept whatever their sign, and the
edge tapered. Its clumpiness is held against what a smooth galaxy with the same noise would show.
"""

from dataclasses import dataclass, replace

import numpy as np
import sep
from scipy.ndimage import binary_dilation, gaussian_filter, label
from scipy.special import erf
from skimage.segmentation import watershed

from darkhaloscope.sim.light import CLUMP_SIGMA_PIX, clumpiness, half_light_radius
from darkhaloscope.units import SIGMA_PER_FWHM, stamp_center

_DETECTION_SIGMA = 1.5
_SMOOTHING = 0.5
"""Detection smooths by this part of the PSF: more would run close galaxies together."""
_CENTRE_ARCSEC = 0.3
_GROW_ARCSEC = 0.3
_SOFT_EDGE_ARCSEC = 0.12
_RING_PIX = 3
_MAX_RING_COVERED = 0.15
_MAX_RING_SIGMA = 1.5
_MIN_SKY_PIX = 200
_PEDESTAL_ERRORS = 3.0
_NOISE_FACTOR, _NOISE_FREE = 2.0, 0.1
_NEIGHBOUR_SNR = 5.0
_MAX_MASKED_FLUX = 0.1
_MAX_BORDER_SIGMA = 6.0
_PEAK_CONTRAST = 0.02
"""Light above the saddle that makes a peak a region of its own, of the whole."""
_BLEND_SHARE, _BLEND_SNR = 0.2, 8.0
"""A touching region with this share of the light, no noise, and farther off than the half-light
radius of both, is another galaxy."""
_CLUMP_SIGMA = 3.0
_CLUMP_REACH = 3.0
"""A lesser region is a clump within so many half-light radii, a neighbour to mask beyond."""


class Unfit(ValueError):
    """No template can be cut from a stamp; the text is the reason, one of a few."""


@dataclass(frozen=True)
class Noise:
    """Correlated noise of a stamp.

    sigma : of one pixel of sky; area : pixels that one noise element covers
    rough : sigma of what is left after a Gaussian of CLUMP_SIGMA_PIX is subtracted
    electrons : e- per unit of flux, for the photon noise of the galaxy itself
    """

    sigma: float
    area: float
    rough: float
    electrons: float = np.inf

    def scaled(self, factor: float) -> "Noise":
        """The same noise, stronger or weaker."""
        return replace(self, sigma=self.sigma * factor, rough=self.rough * factor)

    def rise(self, light: np.ndarray) -> np.ndarray:
        """Sigma where light (flux per pixel) falls, over that of the sky."""
        photons = np.clip(light, 0, None) / self.electrons
        return np.sqrt(1 + photons / (self.sigma**2 * self.area))

    @classmethod
    def of(cls, correlation: np.ndarray, electrons: float = np.inf) -> "Noise":
        """From the (y, x) correlation function, its peak the variance of a pixel."""
        variance = float(correlation.max())
        power = np.abs(np.fft.rfft2(correlation))
        ky = np.fft.fftfreq(correlation.shape[0])[:, None]
        kx = np.fft.rfftfreq(correlation.shape[1])[None, :]
        kept = 1 - np.exp(-2 * (np.pi * CLUMP_SIGMA_PIX) ** 2 * (kx**2 + ky**2))
        weight = np.where((kx > 0) & (kx < 0.5), 2.0, 1.0)  # half a transform is stored
        rough = float((weight * power * kept**2).sum() / (weight * power).sum() * variance)
        return cls(variance**0.5, float(correlation.sum() / variance), rough**0.5, electrons)

    @classmethod
    def of_power(
        cls, power: np.ndarray, k2: np.ndarray, scale: float, drawn_scale: float, electrons: float
    ) -> "Noise":
        """From a power spectrum on a centred grid of the pixels of `scale` (arcsec).

        power : (ky, kx), its mean the variance of such a pixel; k2 : (ky, kx) |k|**2, arcsec**-2
        drawn_scale : arcsec, of the pixels the noise is drawn on, flux a pixel
        """
        larger = (drawn_scale / scale) ** 2
        kept = 1 - np.exp(-0.5 * k2 * (CLUMP_SIGMA_PIX * drawn_scale) ** 2)
        variance = float(power.mean())
        zero = float(power[len(power) // 2, len(power) // 2])
        return cls(
            variance**0.5 * larger,
            zero / variance / larger,
            float((power * kept**2).mean()) ** 0.5 * larger,
            electrons,
        )


@dataclass(frozen=True)
class Template:
    """A galaxy of unit flux, and what was measured on the way."""

    image: np.ndarray
    flux: float  # in the stamp's unit
    hlr_arcsec: float
    snr: float
    clumpiness: float
    clumpiness_null: float  # of a smooth fit to this galaxy with this noise
    pedestal_fraction: float  # what was subtracted, of the flux
    masked_fraction: float  # what lies under masked neighbours by the smooth fit, of the flux
    border_sigma: float  # sky beside the galaxy once all is subtracted, over its error
    clump_fraction: float  # light that stands out of the smooth fit, of the flux


def clean(
    image: np.ndarray,
    *,
    pixel_scale: float,
    psf_fwhm: float,
    noise: Noise,
    data_size: int,
    labels: np.ndarray | None = None,
) -> Template:
    """Cut the central galaxy out of its noise.

    image : (y, x) square, any flux unit
    data_size : side of the central square that holds data, pixels; the rest is ignored
    psf_fwhm : arcsec, of the galaxy as drawn; detection smooths with it
    labels : (y, x) of regions by number, 0 for sky, where segmentation is known
    Raises Unfit, its text the reason, where no whole galaxy stands alone at the centre
    """
    size = min(data_size, len(image)) // 2 * 2 + len(image) % 2
    start = (len(image) - min(size, len(image))) // 2
    inside = slice(start, len(image) - start)
    data = image[inside, inside]
    ring = _ring(len(data))
    level = float(np.median(data[ring]))
    noise = _believed(noise, data[ring] - level)
    if labels is None:
        regions = _segments(data - level, psf_fwhm / pixel_scale, noise)
        own = _with_clumps(_central(regions, pixel_scale), regions, data - level, noise)
    else:
        regions = np.asarray(labels)[inside, inside]
        own = _central(regions, pixel_scale)
    if own[ring].mean() > _MAX_RING_COVERED:
        raise Unfit("truncated by its stamp")
    if level > _MAX_RING_SIGMA * noise.sigma:
        raise Unfit("pedestal")
    others = _surely(regions, data - level, noise) & ~own
    grown = binary_dilation(own, iterations=max(1, round(_GROW_ARCSEC / pixel_scale)))
    sky = ~grown & ~binary_dilation(others, iterations=3)
    pedestal = _pedestal(data[sky], noise)
    light = data - pedestal
    soft = _SOFT_EDGE_ARCSEC / pixel_scale
    window = gaussian_filter(grown.astype(float), soft) * _ramp(len(data), 1.5 * soft)
    use = (window > 0.01) & ~others
    smooth = smooth_fit(light, own, use)
    galaxy = np.where(others, smooth, light) * window
    flux = float(galaxy.sum())
    if not flux > 0:
        raise Unfit("no positive flux")
    masked = float((smooth * window)[others].sum() / flux)
    if masked > _MAX_MASKED_FLUX:
        raise Unfit("blended")
    rise = noise.rise(smooth)
    border = _border_sigma(light[sky], noise)
    if abs(border) > _MAX_BORDER_SIGMA:
        raise Unfit("the sky beside it is not empty")
    error = noise.sigma * np.sqrt(((window * rise) ** 2).sum() * noise.area)
    unit = np.zeros_like(image)
    unit[inside, inside] = galaxy / flux
    return Template(
        image=unit,
        flux=flux,
        hlr_arcsec=half_light_radius(galaxy, pixel_scale),
        snr=float(flux / error),
        clumpiness=clumpiness(galaxy),
        clumpiness_null=expected_clumpiness(smooth * window, noise.rough * rise * window),
        pedestal_fraction=float(pedestal * window.sum() / flux),
        masked_fraction=masked,
        border_sigma=border,
        clump_fraction=_clump_fraction(
            light - smooth_fit(light, own, use, typical=True), own, noise.sigma * rise, flux
        ),
    )


def smooth_fit(light, own, use, *, typical: bool = False) -> np.ndarray:
    """The smooth galaxy that fits best: mean brightness along ellipses of one shape.

    light : (y, x), background removed; own : mask that shapes the ellipses by its moments
    use : mask of the pixels that are averaged
    typical : medians in place of means, so that clumps, on few pixels of an ellipse, stand out
    Returns (y, x) like light
    """
    y, x = np.indices(light.shape)
    weight = np.where(own, np.clip(light, 0, None), 0.0)
    total = max(float(weight.sum()), 1e-30)
    dx, dy = x - (weight * x).sum() / total, y - (weight * y).sum() / total
    xx, yy, xy = ((weight * m).sum() / total + 1e-3 for m in (dx * dx, dy * dy, dx * dy))
    det = max(xx * yy - xy * xy, 1e-6)
    radius = np.sqrt((yy * dx**2 - 2 * xy * dx * dy + xx * dy**2) / np.sqrt(det))
    rings, values = np.rint(radius[use]).astype(int), light[use]
    count = np.bincount(rings)
    kept = count > 0
    at = np.bincount(rings, radius[use])[kept] / count[kept]
    averages = _medians if typical else _means
    return np.interp(radius, at, averages(rings, values, count)[kept])


def _means(rings, values, count) -> np.ndarray:
    return np.bincount(rings, values) / np.maximum(count, 1)


def _medians(rings, values, count) -> np.ndarray:
    rising = np.append(values[np.lexsort((values, rings))], 0.0)
    first = np.cumsum(count) - count
    return (rising[first + (count - 1).clip(0) // 2] + rising[first + count // 2]) / 2


def expected_clumpiness(smooth: np.ndarray, rough_sigma: np.ndarray) -> float:
    """Mean clumpiness of a smooth galaxy with noise, see light.clumpiness.

    smooth : (y, x) galaxy without noise; rough_sigma : (y, x) of its noise after the same filter
    The mean of |N(mu, s)| is that of a folded normal distribution.
    """
    mu = smooth - gaussian_filter(smooth, CLUMP_SIGMA_PIX)
    s = np.maximum(rough_sigma, 1e-30)
    t = mu / (np.sqrt(2) * s)
    folded = s * np.sqrt(2 / np.pi) * np.exp(-(t**2)) + mu * erf(t)
    return float(folded.sum() / smooth.sum())


def _clump_fraction(excess, own, sigma, flux: float) -> float:
    """Flux of the regions that surely stand out of the typical, once smoothed by a pixel."""
    out = own & (gaussian_filter(excess, CLUMP_SIGMA_PIX) > _CLUMP_SIGMA * sigma)
    return float(excess[out].sum() / flux)


def _ramp(size: int, width: float) -> np.ndarray:
    """From 0 at the edge of the data to 1 inside: a stamp that ends leaves no step."""
    inward = np.minimum(np.arange(size), np.arange(size)[::-1]) + 0.5
    rise = np.sin(0.5 * np.pi * np.clip(inward / width, 0, 1)) ** 2
    return rise[:, None] * rise[None, :]


def _ring(size: int) -> np.ndarray:
    outermost = np.ones((size, size), bool)
    outermost[_RING_PIX:-_RING_PIX, _RING_PIX:-_RING_PIX] = False
    return outermost


def _segments(data: np.ndarray, fwhm_pix: float, noise: Noise) -> np.ndarray:
    """Regions above the noise of the smoothed stamp, numbered from 1, galaxies apart."""
    sigma = _SMOOTHING * SIGMA_PER_FWHM * fwhm_pix
    averaged = max(1.0, 4 * np.pi * sigma**2 / noise.area)
    limit = _DETECTION_SIGMA * noise.sigma / np.sqrt(averaged)
    smoothed = np.ascontiguousarray(gaussian_filter(data, sigma))
    found = sep.extract(
        smoothed,
        limit,
        minarea=max(5, round(averaged)),
        filter_kernel=None,
        deblend_nthresh=16,
        deblend_cont=_PEAK_CONTRAST,
        clean=False,
    )
    return _basins(smoothed, smoothed > limit, found["ypeak"], found["xpeak"])


def _basins(smoothed, bright, rows, columns) -> np.ndarray:
    """The bright pixels by the peak they belong to, as water would run.

    The extractor itself deals pixels between close peaks by chance, never twice alike.
    """
    peaks = np.zeros(bright.shape, np.int32)
    peaks[rows, columns] = np.arange(1, len(rows) + 1)
    regions = label(bright, np.ones((3, 3)))[0]
    first = np.zeros(regions.max() + 1, np.int32)  # of a region with one peak, that peak
    first[regions[rows, columns]] = peaks[rows, columns]
    several = (np.bincount(regions[rows, columns], minlength=len(first)) > 1)[regions]
    if not several.any():
        return first[regions]
    return np.where(several, watershed(-smoothed, peaks, mask=several), first[regions])


def _central(labels: np.ndarray, pixel_scale: float) -> np.ndarray:
    """Mask of the region at the centre, or of the largest that comes near it."""
    y, x = np.indices(labels.shape) - stamp_center(len(labels))
    near = labels[np.hypot(x, y) * pixel_scale < _CENTRE_ARCSEC]
    near = near[near > 0]
    if not near.size:
        raise Unfit("nothing detected at the centre")
    return labels == np.bincount(near).argmax()


def _believed(noise: Noise, ring: np.ndarray) -> Noise:
    """The noise as quoted, or as the stamp's edge shows it where the two are far apart.

    Only what is below the median counts, for galaxies are above it.
    """
    below = ring[ring < 0]
    factor = float(np.sqrt((below**2).mean()) / noise.sigma) if below.size else 0.0
    noise_free = factor < _NOISE_FREE
    near = 1 / _NOISE_FACTOR < factor < _NOISE_FACTOR
    return noise if noise_free or near else noise.scaled(factor)


def _surely(labels: np.ndarray, data: np.ndarray, noise: Noise) -> np.ndarray:
    """Mask of the regions that are no noise: to mask noise peaks would leave a negative sky."""
    area = np.bincount(labels.ravel())
    flux = np.bincount(labels.ravel(), data.ravel())
    real = flux > _NEIGHBOUR_SNR * noise.sigma * np.sqrt(area * noise.area)
    real[0] = False
    return real[labels]


def _pedestal(sky: np.ndarray, noise: Noise) -> float:
    """Median of the sky beside the galaxy where that is surely not 0; subtracting noise adds it."""
    if sky.size < _MIN_SKY_PIX:
        return 0.0
    level = float(np.median(sky))
    error = np.sqrt(np.pi / 2 * noise.area / sky.size) * noise.sigma
    return level if abs(level) > _PEDESTAL_ERRORS * error else 0.0


def _with_clumps(own, labels: np.ndarray, data: np.ndarray, noise: Noise) -> np.ndarray:
    """The galaxy with the lesser peaks that touch it, but for those that lie outside it.

    Raises Unfit if what touches is another galaxy
    """
    touching = np.setdiff1d(labels[binary_dilation(own) & ~own], [0])
    if not touching.size:
        return own
    count = np.bincount(labels.ravel())
    y, x = np.indices(labels.shape)
    flux, fx, fy = (np.bincount(labels.ravel(), (data * w).ravel()) for w in (1.0, x, y))
    main = labels[own][0]
    apart = np.hypot(*(f[touching] / flux[touching] - f[main] / flux[main] for f in (fx, fy)))
    whole = half_light_radius(np.where(own | np.isin(labels, touching), data, 0.0), 1.0)
    bright = flux[touching] > _BLEND_SHARE * (flux[main] + flux[touching])
    error = noise.sigma * np.sqrt(count[touching] * noise.area)
    if (bright & (flux[touching] > _BLEND_SNR * error) & (apart > whole)).any():
        raise Unfit("blended")
    within = apart < _CLUMP_REACH * half_light_radius(np.where(own, data, 0.0), 1.0)
    return own | np.isin(labels, touching[within])


def _border_sigma(sky: np.ndarray, noise: Noise) -> float:
    if not sky.size:
        return 0.0
    return float(sky.sum() / (noise.sigma * np.sqrt(sky.size * noise.area)))
