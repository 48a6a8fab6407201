"""Sections of a brick's coadds, `.fits.fz`: only the tiles that a stamp needs are read."""

import contextlib
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyError
from astropy.wcs import WCS, WcsError

from darkhaloscope.flags import Flag
from darkhaloscope.io.remote import Absent, Files, NoAnswer
from darkhaloscope.io.tiles import TiledImage
from darkhaloscope.survey.bricks import SIDE_PIX, brick_holding, coadd_path, corner
from darkhaloscope.units import BANDS, PIXEL_SCALE_ARCSEC

TELESCOPES = ("decam", "90prime-mosaic")
_CAMERAS = {"decam": "decam", "90prime": "90prime-mosaic", "mosaic": "90prime-mosaic"}


@dataclass
class Seen:
    """What a survey shows of one place. Bands that it has not are dark, with invvar 0."""

    image: np.ndarray  # (band, y, x) float32, nmgy
    invvar: np.ndarray  # (band, y, x) float32, nmgy**-2
    maskbits: np.ndarray  # (y, x) int32
    center: tuple[float, float] = (0.0, 0.0)  # of the object from the stamp's centre, arcsec
    brick: str = ""
    telescope: str = ""
    psf_fwhm: np.ndarray = field(default_factory=lambda: np.full(len(BANDS), np.nan))  # arcsec
    psf_e1: np.ndarray = field(default_factory=lambda: np.zeros(len(BANDS)))
    psf_e2: np.ndarray = field(default_factory=lambda: np.zeros(len(BANDS)))
    psf_image: np.ndarray | None = None  # (band, y, x) of unit flux
    nexp: np.ndarray = field(default_factory=lambda: np.zeros(len(BANDS), int))
    flags: Flag = field(default_factory=lambda: Flag(0))
    why: str = ""  # what a flag's cause was, in words

    @classmethod
    def nothing(cls, size: int, flags: Flag, why: str, brick: str = "") -> "Seen":
        """A place of which nothing is to be had."""
        pixels = np.zeros((2, len(BANDS), size, size), np.float32)
        mask = np.zeros((size, size), np.int32)
        return cls(pixels[0], pixels[1], mask, brick=brick, flags=flags, why=why)


class Damaged(Exception):
    """A file or answer is not what it should be."""


class BrickCoadds:
    """The coadd files of one brick, opened as they are needed. A context manager."""

    def __init__(self, files: Files, name: str, telescope: str):
        self.name = name
        self._files, self._telescope = files, telescope
        self._open: dict[tuple[str, str], Any] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "BrickCoadds":
        return self

    def __exit__(self, *_) -> None:
        self._stack.close()

    def seen(self, ra_deg: float, dec_deg: float, size: int) -> Seen:
        """The stamp of `size` pixels about a position; faults are flags, never exceptions."""
        try:
            return self._seen(ra_deg, dec_deg, size)
        except NoAnswer as error:
            return Seen.nothing(size, Flag.NO_ANSWER, str(error), self.name)
        except Damaged as error:
            return Seen.nothing(size, Flag.DAMAGED, str(error), self.name)

    def _seen(self, ra_deg: float, dec_deg: float, size: int) -> Seen:
        there = [band for band in BANDS if self._image("image", band) is not None]
        if not there:
            return Seen.nothing(size, Flag.NOT_COVERED, "no coadd image", self.name)
        telescopes = {telescope_of(self._header(band), band) for band in there}
        if telescopes != {self._telescope}:
            found = ", ".join(sorted(telescopes))
            seen = Seen.nothing(size, Flag.OTHER_TELESCOPE, f"seen by {found}", self.name)
            seen.telescope = found
            return seen
        x, y = self._wcs(there[0]).all_world2pix(ra_deg, dec_deg, 0)
        x0, y0, center = corner(float(x), float(y), size)
        if not (0 <= x0 <= SIDE_PIX - size and 0 <= y0 <= SIDE_PIX - size):
            return Seen.nothing(size, Flag.OUT_OF_BRICK, "stamp leaves the brick", self.name)
        box = (slice(int(y0), int(y0) + size), slice(int(x0), int(x0) + size))
        at = tuple(slice(int(v), int(v) + 1) for v in (round(float(y)), round(float(x))))
        seen = Seen.nothing(size, Flag(0), "", self.name)
        seen.center, seen.telescope = center, self._telescope
        for i, band in enumerate(BANDS):
            if band in there:
                self._fill(seen, i, band, box, at)
            else:
                seen.flags |= Flag.MISSING_BAND
        self._mask(seen, box)
        return seen

    def _fill(self, seen: Seen, i: int, band: str, box, at) -> None:
        """One band's pixels, and its PSF and exposures at the object."""
        seen.image[i] = self._section("image", band, box)
        invvar = self._section("invvar", band, box)
        if invvar is not None:
            seen.invvar[i] = invvar
        psf, nexp = self._section("psfsize", band, at), self._section("nexp", band, at)
        if psf is not None and psf[0, 0] > 0:
            seen.psf_fwhm[i] = psf[0, 0]
        if nexp is not None:
            seen.nexp[i] = nexp[0, 0]

    def _mask(self, seen: Seen, box) -> None:
        mask = self._section("maskbits", "", box)
        if mask is None:
            seen.flags |= Flag.ASSUMED_MASK
        else:
            seen.maskbits[:] = mask

    def _section(self, product: str, band: str, box) -> np.ndarray | None:
        """Pixels of a product, None if the tree has not got it."""
        tiled = self._image(product, band)
        if tiled is None:
            return None
        with faults_named(self._path(product, band)):
            return tiled.section(box)

    def _header(self, band: str) -> fits.Header:
        tiled = self._image("image", band)
        assert tiled is not None
        return tiled.header

    def _wcs(self, band: str) -> WCS:
        key = ("wcs", "")
        if key not in self._open:
            with faults_named(self._path("image", band)):
                self._open[key] = wcs_of(self._header(band))
        return self._open[key]

    def _path(self, product: str, band: str) -> str:
        return coadd_path(self.name, product, band)

    def _image(self, product: str, band: str) -> TiledImage | None:
        """A file's image, None if the tree has not got it."""
        key = (product, band)
        if key not in self._open:
            self._open[key] = self._opened(self._path(product, band))
        return self._open[key]

    def _opened(self, path: str) -> TiledImage | None:
        try:
            stream = self._stack.enter_context(self._files.open(path))
        except Absent:
            return None
        with faults_named(path):
            image = TiledImage(stream)
            if image.shape != (SIDE_PIX, SIDE_PIX):
                raise Damaged(
                    f"{path}: an image of {image.shape}, must be {SIDE_PIX} pixels square"
                )
            return image


@contextlib.contextmanager
def faults_named(path: str) -> Iterator[None]:
    """Whatever a FITS reader stumbles over is a damaged file, by name."""
    try:
        yield
    except (OSError, ArithmeticError, LookupError, EOFError, MemoryError, zlib.error) as error:
        raise Damaged(f"{path}: {type(error).__name__}: {error}") from error
    except (
        AttributeError,
        RuntimeError,
        TypeError,
        ValueError,
        VerifyError,
        WcsError,
        Warning,
    ) as error:
        raise Damaged(f"{path}: {type(error).__name__}: {error}") from error


def wcs_of(header: Mapping[str, Any]) -> WCS:
    """The header's world coordinates. Raises Damaged if its pixels are not the survey's."""
    wcs = WCS(header, naxis=2)
    scale = abs(float(header.get("CD1_1", np.nan))) * 3600
    if not abs(scale - PIXEL_SCALE_ARCSEC) < 1e-3:
        raise Damaged(f"pixels of {scale:.4g} arcsec, must be {PIXEL_SCALE_ARCSEC}")
    return wcs


def telescope_of(header: Mapping[str, Any], band: str) -> str:
    """decam, 90prime-mosaic, or what the header says instead."""
    words = " ".join(str(header.get(key, "")) for key in (f"CAMS_{band.upper()}", "INSTRUME"))
    words = words.lower()
    found = {name for word, name in _CAMERAS.items() if word in words}
    return found.pop() if len(found) == 1 else " and ".join(sorted(found)) or "unknown"


@dataclass(frozen=True)
class BrickTree:
    """A tree of coadds, `BBB/BRICK/legacysurvey-BRICK-PRODUCT-BAND.fits.fz`, of one telescope."""

    files: Files
    telescope: str
    size: int  # side of the stamps, pixels

    def look(self, ra_deg: np.ndarray, dec_deg: np.ndarray) -> Iterator[Seen]:
        """What is seen about each position, in order; neighbours in a brick share its files."""
        brick: BrickCoadds | None = None
        with contextlib.ExitStack() as stack:
            for ra, dec in zip(ra_deg, dec_deg, strict=True):
                place = brick_holding(ra, dec, self.size)
                if place is None:
                    yield Seen.nothing(self.size, Flag.OUT_OF_BRICK, "no brick holds the stamp")
                    continue
                if brick is None or brick.name != place.name:
                    stack.close()
                    brick = BrickCoadds(self.files, place.name, self.telescope)
                    stack.enter_context(brick)
                yield brick.seen(ra, dec, self.size)
