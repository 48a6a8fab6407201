"""HST galaxies in GalSim's RealGalaxyCatalog form, drawn for a source bank.

The COSMOS samples of `galsim_download_cosmos` come with tables of fits and of stamp quality;
`galsim.COSMOSCatalog` reads them. Any other catalogue of the form is read without.
"""

from dataclasses import dataclass
from pathlib import Path

import galsim
import numpy as np
from astropy.io import fits

from darkhaloscope.errors import DhsError
from darkhaloscope.sim.template import Noise
from darkhaloscope.units import SIGMA_PER_FWHM

ZERO_POINT_MAG = 25.94  # F814W AB magnitude of 1 count/s; EVIDENCE section 7
EXPOSURE_SECONDS = 2028.0  # four exposures of 507 s; Koekemoer et al. (2007)
SAMPLES = ("23.5", "25.2")
_PSFS_LOOKED_AT = 20
_MAX_BAD_PIXELS = 0.005
_POWER_GRID, _POWER_FLOOR = 96, 1e-9
_COLOUR_COLUMNS = {band: (f"HSC_{band}", f"mag_{band}", f"MAG_{band.upper()}") for band in "griz"}


@dataclass(frozen=True)
class DrawnGalaxy:
    """One galaxy behind a Gaussian PSF, with its own correlated noise, not whitened."""

    image: np.ndarray  # (y, x), count/s
    noise: Noise
    data_size: int  # side of the square that holds data, pixels
    bad_fraction: float  # pixels of the original that are 0 or not finite
    original_fwhm: float  # arcsec, or more where that is narrower than the bank's anyway
    labels: np.ndarray | None = None  # HST stamps come without segmentation


class RealGalaxies:
    """A catalogue folder, opened and checked.

    directory : what `galsim_download_cosmos` makes, or any folder with one catalogue of that form
    psf_fwhm, pixel_scale : arcsec, of the templates to draw
    exclusion_level : of galsim.COSMOSCatalog; galaxies it turns away are not in `usable`
    Raises DhsError for a folder, catalogue or image file that is missing or cannot be read, for
    companions of another sample, and for a PSF narrower than HST's
    """

    def __init__(
        self,
        directory: Path,
        *,
        stamp_size: int,
        pixel_scale: float,
        psf_fwhm: float,
        exclusion_level: str = "none",
        sample: str | None = None,
    ):
        self.path = find_catalogue(directory, sample)
        self._stamp_size, self._scale, self._fwhm = stamp_size, pixel_scale, psf_fwhm
        self._psf = galsim.Gaussian(fwhm=psf_fwhm)
        try:
            self._catalogue = galsim.RealGalaxyCatalog(self.path.name, dir=str(self.path.parent))
            self._check_scale()
            self._check_files()
            widths = self._psf_widths()
        except (OSError, LookupError, ValueError, TypeError, galsim.GalSimError) as error:
            raise DhsError(
                f"{self.path}: cannot be used as a RealGalaxyCatalog: {error}; "
                "download it again with galsim_download_cosmos"
            ) from error
        self._table = _joined(self.path, len(self._catalogue.ident))
        self.usable, self.excluded_by = self._usable(exclusion_level)
        self._check_psfs(widths)

    def __len__(self) -> int:
        return self._catalogue.nobjects

    def ident(self, index: int) -> str:
        return str(self._catalogue.ident[index])

    def file_of(self, indices: np.ndarray) -> np.ndarray:
        """Name of the image file of each galaxy: read together, a file is opened once."""
        return np.asarray(self._catalogue.gal_file_name).astype(str)[indices]

    def column(self, name: str) -> np.ndarray:
        """mag (F814W, AB), z, hlr (arcsec), mag_g, mag_r, mag_i, mag_z; NaN where not known."""
        return self._table.get(name, np.full(len(self), np.nan))

    def mag(self, index: int) -> float:
        """F814W AB magnitude of the catalogue."""
        return float(self._catalogue.mag[index])

    def has_noise(self, index: int) -> bool:
        """Whether the catalogue gives the stamp's noise; a few entries of real ones do not."""
        variance = float(self._catalogue.variance[index])
        return np.isfinite(variance) and variance > 0

    def draw(self, index: int) -> DrawnGalaxy:
        """The galaxy deconvolved from HST's PSF and convolved with the bank's.

        Raises DhsError if the files are damaged
        """
        try:
            galaxy = galsim.RealGalaxy(self._catalogue, index=index)
        except (OSError, IndexError, KeyError, ValueError, galsim.GalSimError) as error:
            raise DhsError(
                f"{self.path}: galaxy {self.ident(index)} cannot be read: {error}; "
                "the image or PSF file is damaged, download it again"
            ) from error
        raw = galaxy.gal_image
        bad = float(np.mean(~np.isfinite(raw.array) | (raw.array == 0)))
        seen = galsim.Convolve(galaxy, self._psf)
        image = seen.drawImage(
            nx=self._stamp_size, ny=self._stamp_size, scale=self._scale, method="no_pixel"
        )
        return DrawnGalaxy(
            image=image.array.astype(np.float64),
            noise=self._noise(index, galaxy.original_psf),
            data_size=min(int(min(raw.array.shape) * raw.scale / self._scale), self._stamp_size),
            bad_fraction=bad,
            original_fwhm=self._fwhm_of(galaxy),
        )

    def unfit(self, drawn: DrawnGalaxy) -> str:
        """Why a drawn galaxy cannot be used at all; empty if it can."""
        if drawn.bad_fraction > _MAX_BAD_PIXELS or not np.isfinite(drawn.image).all():
            return "bad stamp"
        if drawn.original_fwhm > self._fwhm:
            return "its own PSF is wider than the bank's"
        return ""

    def close(self) -> None:
        """Close image files and forget what was read of them."""
        self._catalogue.close()

    def _fwhm_of(self, galaxy: galsim.RealGalaxy) -> float:
        """FWHM of the original PSF, arcsec; where its peak shows that it is narrower than the
        bank's, that of the Gaussian with this peak, which is wider: wings lower the peak."""
        peak = float(galaxy.psf_image.array.max() / galaxy.psf_image.array.sum())
        at_most = galaxy.psf_image.scale / np.sqrt(2 * np.pi * peak) / SIGMA_PER_FWHM
        return at_most if at_most < self._fwhm else float(galaxy.original_psf.calculateFWHM())

    def _noise(self, index: int, psf: galsim.GSObject) -> Noise:
        """The stamp's noise once deconvolved and convolved, from its power spectrum.

        GalSim's `noise` of the object says the same to 2 % (it reads the correlation function by
        linear interpolation) at four times the cost.
        """
        shape, scale, variance = self._catalogue.getNoiseProperties(index)
        step = 2 * np.pi / (_POWER_GRID * scale)
        k = (np.arange(_POWER_GRID) - _POWER_GRID // 2) * step
        k2 = k[:, None] ** 2 + k[None, :] ** 2
        beam = np.exp(-k2 * self._psf.sigma**2)  # the square of the Gaussian's transform
        seen = psf.drawKImage(nx=_POWER_GRID, ny=_POWER_GRID, scale=step).array
        through = np.where(beam > _POWER_FLOOR, beam / np.maximum(np.abs(seen) ** 2, 1e-6), 0.0)
        power = variance * _unit_power(self._noise_file(index), shape) * through
        return Noise.of_power(power, k2, scale, self._scale, EXPOSURE_SECONDS)

    def _noise_file(self, index: int) -> str:
        files = self._catalogue.noise_file_name
        return "" if files is None else str(files[index])

    def _check_scale(self) -> None:
        scales = np.unique(np.asarray(self._catalogue.pixel_scale, float))
        if not (np.isfinite(scales).all() and (scales > 0.005).all() and (scales < 0.2).all()):
            raise ValueError(
                f"its PIXEL_SCALE is {scales.min():g} to {scales.max():g} where arcsec per pixel "
                "of a space telescope are wanted, 0.005 to 0.2 (ACS: 0.03)"
            )

    def _check_files(self) -> None:
        """Open every image file the catalogue names, so that a truncated one fails now."""
        catalogue = self._catalogue
        for index in np.unique(
            np.stack([catalogue.gal_file_name, catalogue.psf_file_name]), axis=1, return_index=True
        )[1]:
            catalogue.getGalImage(int(index))
            catalogue.getPSFImage(int(index))
            catalogue.getNoiseProperties(int(index))
        catalogue.close()

    def _psf_widths(self) -> list[float]:
        """FWHM of a few of the original PSFs, arcsec."""
        looked = np.unique(np.linspace(0, len(self) - 1, _PSFS_LOOKED_AT).astype(int))
        widths = [self._catalogue.getPSF(int(i)).calculateFWHM() for i in looked]
        self._catalogue.close()
        return widths

    def _check_psfs(self, widths: list[float]) -> None:
        """The bank's PSF is wider than those of most galaxies; a few wider ones are left out."""
        if self._fwhm < np.median(widths):
            raise DhsError(
                f"intrinsic_psf_fwhm_arcsec = {self._fwhm} is narrower than the original PSFs of "
                f"{self.path.name} ({min(widths):.3f} to {max(widths):.3f} arcsec), which would "
                "amplify their noise; use 0.15 or more"
            )

    def _usable(self, level: str) -> tuple[np.ndarray, str]:
        """Indices that the catalogue's own flags let through, and what judged them."""
        every = np.arange(len(self))
        if level == "none":
            return every, "none"
        try:
            chosen = galsim.COSMOSCatalog(
                self.path.name, dir=str(self.path.parent), exclusion_level=level
            )
        except (OSError, KeyError, ValueError):
            return every, "none, for tables of fits and stamp quality are not beside it"
        if not len(chosen.orig_index):
            raise DhsError(f"{self.path}: exclusion_level = {level} leaves no galaxy; try none")
        return np.asarray(chosen.orig_index), level


def find_catalogue(directory: Path, sample: str | None = None) -> Path:
    """The one RealGalaxyCatalog table in a folder (or the file itself).

    sample : "23.5" or "25.2", to ask for that COSMOS sample by name
    Raises DhsError if there is none, or several, or another sample
    """
    if directory.is_file():
        return directory
    if not directory.is_dir():
        raise DhsError(
            f"--cosmos-dir {directory} does not exist; give the folder that "
            "galsim_download_cosmos made"
        )
    places = [directory, *sorted(directory.glob("COSMOS_*_training_sample"))]
    found = [p for place in places for p in sorted(place.glob("*.fits")) if _is_catalogue(p)]
    listing = ", ".join(path.name for path in found) or "none"
    if sample:
        of_sample = [path for path in found if path.name == f"real_galaxy_catalog_{sample}.fits"]
        if len(of_sample) == 1:
            return of_sample[0]
        raise DhsError(
            f"{directory} holds no real_galaxy_catalog_{sample}.fits but {listing}; give the "
            f"folder of `galsim_download_cosmos -s {sample}`, or leave --sample away"
        )
    if len(found) == 1:
        return found[0]
    raise DhsError(
        f"{directory} must hold one RealGalaxyCatalog table (FITS with columns IDENT, "
        f"GAL_FILENAME, PSF_FILENAME), found {listing}; name the file itself to choose"
    )


_POWERS: dict[str, np.ndarray] = {}


def _unit_power(name: str, correlation: galsim.Image | None) -> np.ndarray:
    """Power on the grid, centred, of noise of variance 1 a pixel; white without a correlation."""
    if correlation is None:
        return np.ones((_POWER_GRID, _POWER_GRID))
    if name not in _POWERS:
        small = np.asarray(correlation.array, float)
        full = np.zeros((_POWER_GRID, _POWER_GRID))
        half = min(min(small.shape) // 2, _POWER_GRID // 2 - 1)
        rows, columns = (n // 2 + np.arange(-half, half + 1) for n in small.shape)
        place = np.arange(-half, half + 1) % _POWER_GRID
        full[np.ix_(place, place)] = small[np.ix_(rows, columns)] / small.max()
        _POWERS[name] = np.fft.fftshift(np.clip(np.fft.fft2(full).real, 0, None))
    return _POWERS[name]


def _is_catalogue(path: Path) -> bool:
    try:
        columns = fits.getdata(path, 1).names
    except (OSError, IndexError, AttributeError, TypeError, ValueError):
        return False
    return {"IDENT", "GAL_FILENAME", "PSF_FILENAME"} <= set(columns)


def _joined(path: Path, n: int) -> dict[str, np.ndarray]:
    """What the catalogue and its table of fits know of each galaxy."""
    main, companion = fits.getdata(path, 1), path.with_name(f"{path.stem}_fits.fits")
    tables = [main]
    if companion.exists():
        try:
            more = fits.getdata(companion, 1)
        except (OSError, IndexError, ValueError, TypeError) as error:
            raise DhsError(f"{companion}: cannot be read: {error}; download it again") from error
        if len(more) != n or "IDENT" not in more.names or (more["IDENT"] != main["IDENT"]).any():
            raise DhsError(
                f"{companion.name} does not list the galaxies of {path.name}: it belongs to "
                "another sample; put the files of one download together"
            )
        tables.append(more)
    known = {"mag": np.asarray(main["MAG"], float)}
    names = {"z": ("zphot", "ZPHOT", "z"), "hlr": ("hlr",)} | {
        f"mag_{band}": names for band, names in _COLOUR_COLUMNS.items()
    }
    for table in tables:
        columns = {name: _first(table, among) for name, among in names.items()}
        known |= {name: values for name, values in columns.items() if values is not None}
        radius = _first(table, ("flux_radius",))
        if radius is not None and "hlr" not in known:
            known["hlr"] = radius * np.asarray(main["PIXEL_SCALE"], float)
    return {name: np.where(_sane(name, v), v, np.nan) for name, v in known.items()}


def _first(table, names: tuple[str, ...]) -> np.ndarray | None:
    """The first of the columns that is there; of a column of vectors, the Sersic fit's."""
    for name in names:
        if name in table.names:
            values = np.asarray(table[name], float)
            return values if values.ndim == 1 else values[:, 0]
    return None


def _sane(name: str, values: np.ndarray) -> np.ndarray:
    low, high = {"z": (0.01, 10), "hlr": (0, 60)}.get(name, (10, 35))
    return np.isfinite(values) & (values > low) & (values < high)
