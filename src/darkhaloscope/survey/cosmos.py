"""HST galaxies in GalSim's RealGalaxyCatalog form, drawn for a source bank."""

from dataclasses import dataclass
from pathlib import Path

import galsim
import numpy as np
from astropy.io import fits

from darkhaloscope.errors import DhsError


@dataclass(frozen=True)
class DrawnGalaxy:
    """One galaxy behind a Gaussian PSF, with its own correlated noise, not whitened."""

    image: np.ndarray  # (y, x), catalogue flux unit
    noise_sigma: float  # of one pixel
    noise_area: float  # pixels of one noise element
    data_size: int  # side of the square that holds data, pixels


class RealGalaxies:
    """A catalogue folder, opened and checked.

    directory : what `galsim_download_cosmos` makes, or any folder with one catalogue of that form
    psf_fwhm, pixel_scale : arcsec, of the templates to draw
    Raises DhsError for a folder, catalogue or image file that is missing or cannot be read
    """

    def __init__(self, directory: Path, *, stamp_size: int, pixel_scale: float, psf_fwhm: float):
        self.path = find_catalogue(directory)
        self._stamp_size, self._scale, self._fwhm = stamp_size, pixel_scale, psf_fwhm
        self._psf = galsim.Gaussian(fwhm=psf_fwhm)
        try:
            self._catalogue = galsim.RealGalaxyCatalog(self.path.name, dir=str(self.path.parent))
            self._check_files()
        except (OSError, LookupError, ValueError, TypeError, galsim.GalSimError) as error:
            raise DhsError(
                f"{self.path}: cannot be used as a RealGalaxyCatalog: {error}; "
                "download it again with galsim_download_cosmos"
            ) from error

    def __len__(self) -> int:
        return self._catalogue.nobjects

    def ident(self, index: int) -> str:
        return str(self._catalogue.ident[index])

    def mag(self, index: int) -> float:
        """F814W AB magnitude of the catalogue."""
        return float(self._catalogue.mag[index])

    def draw(self, index: int) -> DrawnGalaxy:
        """The galaxy deconvolved from HST's PSF and convolved with the bank's.

        Raises DhsError if the bank's PSF is narrower than the original, or the files are damaged
        """
        try:
            galaxy = galsim.RealGalaxy(self._catalogue, index=index)
        except (OSError, IndexError, KeyError, ValueError, galsim.GalSimError) as error:
            raise DhsError(
                f"{self.path}: galaxy {self.ident(index)} cannot be read: {error}; "
                "the image or PSF file is damaged, download it again"
            ) from error
        original = galaxy.original_psf.calculateFWHM()
        if self._fwhm < original:
            raise DhsError(
                f"intrinsic_psf_fwhm_arcsec = {self._fwhm} is narrower than the original PSF of "
                f"galaxy {self.ident(index)} ({original:.3f} arcsec), which would amplify its "
                "noise; use 0.15 or more"
            )
        seen = galsim.Convolve(galaxy, self._psf)
        image = seen.drawImage(
            nx=self._stamp_size, ny=self._stamp_size, scale=self._scale, method="no_pixel"
        )
        correlation = seen.noise.drawImage(scale=self._scale).array  # its peak is the variance
        raw = self._catalogue.getGalImage(index)
        return DrawnGalaxy(
            image=image.array.astype(np.float64),
            noise_sigma=float(np.sqrt(correlation.max())),
            noise_area=float(correlation.sum() / correlation.max()),
            data_size=min(int(raw.array.shape[0] * raw.scale / self._scale), self._stamp_size),
        )

    def _check_files(self) -> None:
        """Open every image file the catalogue names, so that a truncated one fails now."""
        catalogue = self._catalogue
        for index in np.unique(
            np.stack([catalogue.gal_file_name, catalogue.psf_file_name]), axis=1, return_index=True
        )[1]:
            catalogue.getGalImage(int(index))
            catalogue.getPSFImage(int(index))


def find_catalogue(directory: Path) -> Path:
    """The one RealGalaxyCatalog table in a folder (or the file itself).

    Raises DhsError if there is none, or several
    """
    if directory.is_file():
        return directory
    if not directory.is_dir():
        raise DhsError(
            f"--cosmos-dir {directory} does not exist; give the folder that "
            "galsim_download_cosmos made"
        )
    found = [path for path in sorted(directory.glob("*.fits")) if _is_catalogue(path)]
    if len(found) == 1:
        return found[0]
    listing = ", ".join(path.name for path in found) or "none"
    raise DhsError(
        f"{directory} must hold one RealGalaxyCatalog table (FITS with columns IDENT, "
        f"GAL_FILENAME, PSF_FILENAME), found {listing}; name the file itself to choose"
    )


def _is_catalogue(path: Path) -> bool:
    try:
        columns = fits.getdata(path, 1).names
    except (OSError, IndexError, AttributeError, TypeError, ValueError):
        return False
    return {"IDENT", "GAL_FILENAME", "PSF_FILENAME"} <= set(columns)
