"""Galaxies of deep ground images (HSC, Legacy Surveys): one FITS file each, with its PSF.

IMAGE : (y, x), the galaxy at its centre, any linear flux unit; header PIXSCALE (arcsec) and
MAGZERO (AB magnitude of flux 1), and where known IDENT, REDSHIFT, and MAG_G, MAG_R, MAG_I, MAG_Z
PSF : (y, x), at the same pixel scale
SEGMENTATION : (y, x) integers, 0 for sky; absent, the galaxy is segmented here
"""

from dataclasses import dataclass
from pathlib import Path

import galsim
import numpy as np
from astropy.io import fits
from scipy.ndimage import map_coordinates

from darkhaloscope.errors import DhsError
from darkhaloscope.sim.template import Noise
from darkhaloscope.units import stamp_center


@dataclass(frozen=True)
class DeepGalaxy:
    """One galaxy behind a Gaussian PSF, on the template's pixels."""

    name: str
    image: np.ndarray  # (y, x)
    labels: np.ndarray | None  # (y, x) regions by number
    noise: Noise
    data_size: int  # pixels
    zero_point: float  # AB magnitude of flux 1
    known: dict[str, float]  # z, mag_g, mag_r, mag_i, mag_z; NaN where not known


def find_galaxies(folder: Path) -> list[Path]:
    """The FITS files of a folder, by name. Raises DhsError if there is none."""
    if not folder.is_dir():
        raise DhsError(f"{folder} does not exist; give a folder of FITS files, one a galaxy")
    found = sorted(path for path in folder.iterdir() if path.name.endswith((".fits", ".fits.fz")))
    if not found:
        raise DhsError(f"{folder} holds no .fits file; one a galaxy is wanted")
    return found


def read_galaxy(path: Path, *, stamp_size: int, pixel_scale: float, psf_fwhm: float) -> DeepGalaxy:
    """Read, deconvolve from its PSF, and convolve with the bank's.

    pixel_scale, psf_fwhm : arcsec, of the template

    Raises DhsError for a file that cannot be read or lacks what is needed, for an image without
    noise, and for a bank PSF narrower than the image's
    """
    image, psf, labels, header = _content(path)
    scale = float(header["PIXSCALE"])
    sky = _edge(image) if labels is None else image[labels == 0]
    noise = float(np.median(np.abs(sky - np.median(sky))) / 0.6745) if sky.size else 0.0
    if not noise > 0:
        raise DhsError(
            f"{path}: its sky has no noise ({sky.size} pixels of one value), so nothing can be "
            "measured against it; give real images, or make galaxies with `dhs bank hybrid`"
        )
    seen, original = _reconvolved(image, psf, noise**2, scale, psf_fwhm)
    if psf_fwhm < original:
        raise DhsError(
            f"intrinsic_psf_fwhm_arcsec = {psf_fwhm} is narrower than the PSF of {path.name} "
            f"({original:.3f} arcsec), which would amplify its noise; use a wider one"
        )
    drawn = seen.drawImage(nx=stamp_size, ny=stamp_size, scale=pixel_scale, method="no_pixel")
    correlation = seen.noise.drawImage(scale=pixel_scale).array
    drawn_labels = None if labels is None else _regridded(labels, stamp_size, pixel_scale / scale)
    data_size = min(int(min(image.shape) * scale / pixel_scale), stamp_size)
    names = {"z": "REDSHIFT"} | {f"mag_{b}": f"MAG_{b.upper()}" for b in "griz"}
    return DeepGalaxy(
        name=str(header.get("IDENT", path.name.split(".fits")[0])),
        image=drawn.array.astype(np.float64),
        labels=drawn_labels,
        noise=_as_seen(Noise.of(correlation), drawn.array, drawn_labels, data_size),
        data_size=data_size,
        zero_point=float(header["MAGZERO"]),
        known={to: float(header.get(key, np.nan)) for to, key in names.items()},
    )


def _content(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, dict]:
    """Image, PSF, segmentation if there is one, and all header cards; checked."""
    try:
        with fits.open(path) as file:
            content = {hdu.name: np.array(hdu.data) for hdu in file if hdu.data is not None}
            header = {key: value for hdu in file for key, value in hdu.header.items()}
    except (OSError, ValueError, TypeError) as error:
        raise DhsError(f"{path}: cannot be read as FITS: {error}") from error
    lacking = [k for k in ("IMAGE", "PSF") if k not in content]
    lacking += [k for k in ("PIXSCALE", "MAGZERO") if k not in header]
    if lacking:
        raise DhsError(
            f"{path} lacks {', '.join(lacking)}; needed: images IMAGE and PSF, header PIXSCALE "
            "(arcsec) and MAGZERO (AB magnitude of flux 1)"
        )
    image, psf, labels = content["IMAGE"], content["PSF"], content.get("SEGMENTATION")
    if image.ndim != 2 or not np.isfinite(image).all() or not 0.01 < header["PIXSCALE"] < 2:
        raise DhsError(
            f"{path}: IMAGE must be (y, x) of finite numbers and PIXSCALE 0.01 to 2 arcsec; got "
            f"shape {image.shape}, {int((~np.isfinite(image)).sum())} pixels not finite, "
            f"{header['PIXSCALE']} arcsec"
        )
    if psf.ndim != 2 or not np.isfinite(psf).all() or not psf.sum() > 0:
        raise DhsError(f"{path}: PSF must be (y, x) of finite numbers with a positive sum")
    if labels is not None and labels.shape != image.shape:
        raise DhsError(f"{path}: SEGMENTATION is {labels.shape} where IMAGE is {image.shape}")
    return image.astype(float), psf.astype(float), labels, header


def _reconvolved(image, psf, variance: float, scale: float, psf_fwhm: float):
    """The galaxy behind the bank's PSF, as a GalSim object with its noise; its own PSF's FWHM."""
    beam = galsim.InterpolatedImage(galsim.Image(psf / psf.sum(), scale=scale), flux=1.0)
    galaxy = galsim.RealGalaxy.makeFromImage(
        galsim.Image(image, scale=scale), beam, galsim.UncorrelatedNoise(variance, scale=scale)
    )
    return galsim.Convolve(galaxy, galsim.Gaussian(fwhm=psf_fwhm)), float(beam.calculateFWHM())


def _as_seen(noise: Noise, drawn: np.ndarray, labels: np.ndarray | None, size: int) -> Noise:
    """The noise as strong as the drawn sky shows it: what resampling does to it is not known."""
    start = (len(drawn) - size) // 2
    data = slice(start, start + size)
    inner = drawn[data, data]
    sky = _edge(inner) if labels is None else inner[labels[data, data] == 0]
    below = (sky - np.median(sky))[sky < np.median(sky)]
    return noise.scaled(float(np.sqrt((below**2).mean())) / noise.sigma)


def _edge(image: np.ndarray) -> np.ndarray:
    width = max(3, min(image.shape) // 8)
    inner = np.zeros(image.shape, bool)
    inner[width:-width, width:-width] = True
    return image[~inner]


def _regridded(labels: np.ndarray, size: int, step: float) -> np.ndarray:
    """Regions on the template's pixels: each takes the number of the nearest original pixel."""
    at = (np.arange(size) - stamp_center(size)) * step
    rows, columns = (at + stamp_center(n) for n in labels.shape)
    place = np.meshgrid(rows, columns, indexing="ij")
    return map_coordinates(labels, place, order=0, mode="constant", cval=0)
