"""A catalogue in the layout of galsim_download_cosmos, of galaxies that a test makes."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from scipy.ndimage import gaussian_filter

from darkhaloscope.sim.light import sersic
from darkhaloscope.units import SIGMA_PER_FWHM, stamp_center

SCALE, PSF_FWHM, SIGMA, ZERO_POINT = 0.03, 0.1, 0.002, 25.94
NAME = "real_galaxy_catalog_25.2"


def noise(seed: int, size: int = 128) -> np.ndarray:
    """White noise of SIGMA, count/s."""
    return SIGMA * np.random.default_rng(seed).standard_normal((size, size))


def disc(mag: float, r_e: float = 0.3, size: int = 128, **shape) -> np.ndarray:
    """An exponential disc of an AB magnitude behind the PSF, count/s."""
    at = {"dx": 0.0, "dy": 0.0, "n": 1.0, "q": 0.7} | shape
    y, x = (np.indices((size, size)) - stamp_center(size)) * SCALE
    light = sersic(x - at["dx"], y - at["dy"], r_e=r_e, n=at["n"], q=at["q"], softening=SCALE / 2)
    light = gaussian_filter(light * SCALE**2, SIGMA_PER_FWHM * PSF_FWHM / SCALE)
    return light * 10 ** (-0.4 * (mag - ZERO_POINT))


def knots(mag: float, seed: int, n: int = 5, radius: float = 0.3, size: int = 128) -> np.ndarray:
    """Unresolved knots of one total magnitude strewn around the centre, count/s."""
    rng = np.random.default_rng(seed)
    places = radius * rng.uniform(-1, 1, (n, 2))
    return sum(
        disc(mag + 2.5 * math.log10(n), r_e=0.03, size=size, dx=x, dy=y, q=1.0) for x, y in places
    )


def planted() -> dict[str, np.ndarray]:
    """Stamps with a known fate, by name."""
    return {
        "smooth": disc(22.0) + noise(1),
        "clumpy": disc(22.6, 0.4) + knots(23.0, 3) + noise(2),
        "noise": noise(3),
        "rectified": np.clip(noise(4), 0, None),
        "blended": disc(22.5) + disc(22.9, 0.2, dx=0.6) + noise(5),
        "truncated": disc(20.5, 1.5) + noise(6),
        "faint": disc(26.5) + noise(7),
        "holes": np.where(np.arange(128) < 20, 0.0, disc(22.0) + noise(8)),
        "neighbour": disc(22.5, 0.2) + disc(24.0, 0.1, dx=1.3, dy=0.6) + noise(9),
        "pedestal": disc(23.0) + noise(10) + 0.6 * SIGMA,
    }


def write_catalogue(
    folder: Path, stamps: Mapping[str, np.ndarray], name: str = NAME, **columns
) -> Path:
    """Catalogue, images, PSFs, and the tables of fits and of stamp quality; returns the folder.

    columns : MAG, zphot, PIXEL_SCALE, sn_ellip_gauss ... to put in place of good values
    """
    folder.mkdir(parents=True, exist_ok=True)
    n = len(stamps)
    y, x = np.indices((33, 33)) - 16
    psf = np.exp(-(x**2 + y**2) / (2 * (SIGMA_PER_FWHM * PSF_FWHM / SCALE) ** 2))
    images = [fits.ImageHDU(stamp.astype(np.float32)) for stamp in stamps.values()]
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto(folder / "images.fits", overwrite=True)
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU((psf / psf.sum()).astype(np.float32))]).writeto(
        folder / "psfs.fits", overwrite=True
    )
    flux = np.array([max(stamp.sum(), 1e-3) for stamp in stamps.values()])
    given = {
        "MAG": ZERO_POINT - 2.5 * np.log10(flux),
        "zphot": np.linspace(0.5, 1.5, n),
        "PIXEL_SCALE": np.full(n, SCALE),
        "sn_ellip_gauss": np.full(n, 50.0),
        "flux_radius": np.full(n, 10.0),
        "NOISE_VARIANCE": np.full(n, SIGMA**2),
        "IDENT": np.arange(n) + 1000,
    } | columns
    noise_file = {k: v for k, v in columns.items() if k == "NOISE_FILENAME"}
    Table(
        {
            "IDENT": np.arange(n) + 1000,
            "RA": np.full(n, 150.0),
            "DEC": np.full(n, 2.0),
            "MAG": given["MAG"],
            "BAND": ["F814W"] * n,
            "WEIGHT": np.ones(n),
            "GAL_FILENAME": ["images.fits"] * n,
            "PSF_FILENAME": ["psfs.fits"] * n,
            "GAL_HDU": np.arange(n) + 1,
            "PSF_HDU": np.ones(n, int),
            "PIXEL_SCALE": given["PIXEL_SCALE"],
            "NOISE_MEAN": np.zeros(n),
            "NOISE_VARIANCE": given["NOISE_VARIANCE"],
            "stamp_flux": flux,
        }
        | noise_file
    ).write(folder / f"{name}.fits", overwrite=True)
    Table(
        {
            "IDENT": given["IDENT"],
            "mag_auto": given["MAG"],
            "flux_radius": given["flux_radius"],
            "zphot": given["zphot"],
            "fit_status": np.ones((n, 5), int),
            "sersicfit": np.tile([1.0, 10, 1.0, 0.7, 0, 64, 64, 0], (n, 1)),
            "hlr": np.full((n, 3), 0.3),
            "flux": np.tile(flux[:, None], (1, 4)),
        }
    ).write(folder / f"{name}_fits.fits", overwrite=True)
    Table(
        {
            "IDENT": np.arange(n) + 1000,
            "dmag": np.zeros(n),
            "sn_ellip_gauss": given["sn_ellip_gauss"],
            "min_mask_dist_pixels": np.full(n, 40.0),
            "average_mask_adjacent_pixel_count": np.zeros(n),
            "peak_image_pixel_count": np.ones(n),
        }
    ).write(folder / f"{name}_selection.fits", overwrite=True)
    return folder
