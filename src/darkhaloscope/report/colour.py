"""From fluxes to colours: the RGB picture of a cutout, and what is bluer than its host."""

import numpy as np
from astropy.visualization import make_lupton_rgb
from scipy.ndimage import gaussian_filter

from darkhaloscope.units import BANDS

EXCESS_STOPS = np.array([-1.0, -0.4, 0.0, 0.4, 1.0])
EXCESS_COLOURS = np.array(
    [[255, 186, 110], [150, 74, 22], [26, 28, 34], [38, 104, 190], [214, 240, 255]], float
)

GAINS = np.array([1.8, 1.0, 0.5])
"""Weights of g, r, z that show a z = 0.5 luminous red galaxy in orange and its arcs in blue."""

STRETCH_SIGMA, SOFTENING, PEDESTAL_SIGMA = 20.0, 5.0, 2.5
"""Lupton's stretch and black point, in sigma of the mean image: sky at one eighth of white."""

COLOUR_SMOOTHING_PIX, COLOUR_SNR = 1.0, 3.0
"""Hue is read from a picture smoothed by less than the seeing, and fades below this S/N."""

TYPICAL_SKY_SIGMA_NMGY = np.array([0.0016, 0.0030, 0.0075])
"""DECaLS, one pixel (EVIDENCE section 5); used where an image has no noise of its own."""


def rgb(image, sky_sigma=None, sky=None, stretch: float = 1.0) -> np.ndarray:
    """Colour picture of a g, r, z cutout, z in red, with the stretch tied to the sky noise.

    The arcsinh stretch keeps colours up to the brightest pixel. Hue fades where the light is
    within the noise, so that sky is grey, not coloured speckle; brightness is never smoothed.

    image : (band, y, x), nmgy; row 0 is the bottom. Pixels without data become black
    sky_sigma : (band,) nmgy, noise of a pixel; default: from the image (MAD)
    sky : (band,) nmgy, level shown as sky; default: the median of each band
    stretch : above 1 cores keep their detail, below 1 faint light shows
    Returns (y, x, 3) uint8
    Raises ValueError if the image is not (3, y, x), or sky_sigma is not positive
    Source: Lupton et al. (2004), PASP 116, 133
    """
    image = np.asarray(image, float)
    if image.ndim != 3 or len(image) != len(BANDS):
        raise ValueError(f"image must be (3, y, x) in g r z order, got shape {image.shape}")
    known = np.isfinite(image)
    sky = sky_level(image) if sky is None else np.asarray(sky, float)
    sigma = _noise(image, sky) if sky_sigma is None else np.asarray(sky_sigma, float)
    if sigma.shape != (3,) or not (np.isfinite(sigma) & (sigma > 0)).all():
        raise ValueError(f"sky_sigma must be three positive values in nmgy, got {sigma}")
    light = np.where(known, image - sky[:, None, None], 0.0) * GAINS[:, None, None]
    mean_sigma = np.hypot.reduce(sigma * GAINS) / 3
    blue, green, red = _fade_colour(light, mean_sigma)
    picture = make_lupton_rgb(
        red,
        green,
        blue,
        minimum=-PEDESTAL_SIGMA * mean_sigma,
        stretch=stretch * STRETCH_SIGMA * mean_sigma,
        Q=SOFTENING,
    )
    picture[~known.all(axis=0)] = 0
    return picture


def sky_level(image: np.ndarray) -> np.ndarray:
    """Median of each band's finite pixels, 0 where there are none."""
    known = [band[np.isfinite(band)] for band in image]
    return np.array([np.median(band) if band.size else 0.0 for band in known])


def _noise(image: np.ndarray, sky: np.ndarray) -> np.ndarray:
    """Robust noise of a pixel (MAD) in each band, the survey's typical one where it is 0."""
    measured = 1.4826 * sky_level(np.abs(image - sky[:, None, None]))
    return np.where(measured > 0, measured, TYPICAL_SKY_SIGMA_NMGY)


def _fade_colour(light: np.ndarray, mean_sigma: float) -> np.ndarray:
    """Brightness from the pixels, hue from the smoothed light where that exceeds its noise."""
    smooth = gaussian_filter(light, (0, COLOUR_SMOOTHING_PIX, COLOUR_SMOOTHING_PIX))
    # noise left by the smoothing, for neighbours correlated by 0.25 as in the coadds
    smooth_sigma = 1.6 * mean_sigma / (2 * np.sqrt(np.pi) * COLOUR_SMOOTHING_PIX)
    snr2 = (smooth.max(axis=0).clip(0) / smooth_sigma) ** 2
    weight = snr2 / (snr2 + COLOUR_SNR**2)
    return light.mean(axis=0) + weight * (smooth - smooth.mean(axis=0))


def colour_excess(image, sky_sigma, ratio: float) -> np.ndarray:
    """g - k z in the noise it has, lightly smoothed: blue where bluer than g / z = k.

    image : (band, y, x), nmgy, sky subtracted
    sky_sigma : (band,) nmgy
    ratio : k, the g over z flux ratio that comes out black
    Returns (y, x, 3) uint8, from orange (redder) over black to pale blue (bluer)
    """
    sigma = np.hypot(sky_sigma[0], ratio * sky_sigma[2])
    excess = gaussian_filter(np.nan_to_num(image[0] - ratio * image[2]), COLOUR_SMOOTHING_PIX)
    value = np.arcsinh(excess / (3 * sigma)) / np.arcsinh(12)
    channels = [np.interp(value, EXCESS_STOPS, EXCESS_COLOURS[:, c]) for c in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)
