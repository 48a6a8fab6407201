"""The Legacy Surveys viewer's cutout service: what to ask for, and what its answers hold.

With `subimage` an answer is an empty primary HDU followed, for each brick that touches the place
and each band, by native pixels of the coadd (IMAGETYP image) and their inverse variance (IMAGETYP
invvar), each with its own WCS. Without it the image is resampled about the position; maskbits come
that way only. `coadd-psf` answers with one HDU a band. Source: legacysurvey/imagine, map/views.py.
"""

import contextlib
import io
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning

from darkhaloscope.flags import Flag
from darkhaloscope.io.remote import Absent, Kept, NoAnswer
from darkhaloscope.sim.measure import measure_psf
from darkhaloscope.survey.bricks import corner
from darkhaloscope.survey.coadds import Damaged, Seen, faults_named, wcs_of
from darkhaloscope.survey.npz import NORTHERN_LIMIT_DEG
from darkhaloscope.units import BANDS, PIXEL_SCALE_ARCSEC, stamp_center

LARGEST_PIX = 512
_SPARE_PIX = 2
"""Asked for beyond the stamp, for the service rounds positions otherwise than we do."""


def cutout_query(ra_deg: float, dec_deg: float, size: int, layer: str) -> str:
    """Native pixels and inverse variances of all bands."""
    return (
        _query("fits-cutout", ra_deg, dec_deg, layer, size=size + _SPARE_PIX) + "&subimage&invvar"
    )


def mask_query(ra_deg: float, dec_deg: float, size: int, layer: str) -> str:
    """Maskbits, with the resampled image that the service sends beside them."""
    return _query("fits-cutout", ra_deg, dec_deg, layer, size=size + _SPARE_PIX) + "&maskbits"


def psf_query(ra_deg: float, dec_deg: float, layer: str) -> str:
    """The coadds' PSFs at a position."""
    return _query("coadd-psf/", ra_deg, dec_deg, layer)


def _query(verb: str, ra_deg: float, dec_deg: float, layer: str, size: int | None = None) -> str:
    words: dict[str, Any] = {"ra": f"{ra_deg:.7f}", "dec": f"{dec_deg:.7f}", "layer": layer}
    words["bands"] = "".join(BANDS)
    if size is not None:
        words |= {"pixscale": PIXEL_SCALE_ARCSEC, "size": size}
    return f"{verb}?{urlencode(words)}"


def parse_cutout(data: bytes, ra_deg: float, dec_deg: float, size: int) -> Seen:
    """The stamp of `size` pixels about a position, from the brick that holds it whole.

    Raises Damaged if the answer is not what was asked for
    """
    planes = _planes(data)
    found = {brick: _cut(of, ra_deg, dec_deg, size) for brick, of in planes.items()}
    whole = {brick: seen for brick, seen in found.items() if seen is not None}
    if not whole:
        if planes:
            return Seen.nothing(
                size, Flag.OUT_OF_BRICK, f"no brick holds the stamp: {list(planes)}"
            )
        return Seen.nothing(size, Flag.NOT_COVERED, "the service has no image there")
    best = min(whole, key=lambda brick: (whole[brick].flags, brick))
    whole[best].brick = best
    return whole[best]


@dataclass(frozen=True)
class _Plane:
    kind: str  # image or invvar
    band: str
    pixels: np.ndarray
    header: fits.Header


def _planes(data: bytes) -> dict[str, list[_Plane]]:
    """Images by brick."""
    planes = defaultdict(list)
    with _opened(data) as hdus:
        for hdu in hdus[1:]:
            header = hdu.header
            plane = _Plane(header["IMAGETYP"].strip().lower(), header["BAND"], hdu.data, header)
            planes[header["BRICK"]].append(plane)
    return dict(planes)


@contextlib.contextmanager
def _opened(data: bytes) -> Iterator[fits.HDUList]:
    """An answer's HDUs. Raises Damaged for what is no FITS file, or is cut short."""
    if not data.startswith(b"SIMPLE"):
        raise Damaged(f"the answer is no FITS file but begins {data[:60]!r}")
    with faults_named("answer"), warnings.catch_warnings():
        warnings.simplefilter("error", AstropyWarning)  # such as: file may be truncated
        with fits.open(io.BytesIO(data), memmap=False) as hdus:
            yield hdus


def _cut(planes: list[_Plane], ra_deg: float, dec_deg: float, size: int) -> Seen | None:
    """The stamp out of one brick's planes; None if they do not hold it whole."""
    seen = Seen.nothing(size, Flag(0), "")
    seen.flags = Flag.MISSING_BAND if {p.band for p in planes} < set(BANDS) else Flag(0)
    for plane in planes:
        if plane.band not in BANDS:
            continue
        with faults_named("answer"):
            x, y = wcs_of(plane.header).all_world2pix(ra_deg, dec_deg, 0)
            x0, y0, seen.center = corner(float(x), float(y), size)
            ny, nx = plane.pixels.shape
        if max(nx, ny) > size + _SPARE_PIX:
            raise Damaged(f"the answer is {nx} x {ny} pixels, {size + _SPARE_PIX} were asked for")
        if not (0 <= x0 <= nx - size and 0 <= y0 <= ny - size):
            return None
        into = seen.image if plane.kind == "image" else seen.invvar
        y0, x0 = int(y0), int(x0)
        into[BANDS.index(plane.band)] = plane.pixels[y0 : y0 + size, x0 : x0 + size]
    return seen


def parse_mask(data: bytes, center: tuple[float, float], size: int) -> np.ndarray | None:
    """Maskbits of the stamp whose object lies at `center`, (y, x); None if the answer has none.

    The service resamples them to its nearest pixel about the position, and so do we.
    Raises Damaged if the answer is not what was asked for
    """
    with _opened(data) as hdus:
        found = [h.data for h in hdus if str(h.header.get("IMAGETYP")).upper() == "MASKBITS"]
    if not found:
        return None
    side = size + _SPARE_PIX
    if found[0].shape != (side, side):
        raise Damaged(f"maskbits of {found[0].shape}, {side} x {side} were asked for")
    shift = stamp_center(side) - stamp_center(size)
    x0, y0 = (round(shift - offset / PIXEL_SCALE_ARCSEC) for offset in center)
    return found[0][y0 : y0 + size, x0 : x0 + size].astype(np.int32)


def add_mask(seen: Seen, mask: np.ndarray | None) -> None:
    """The maskbits of a place, or that they are taken as clean."""
    if mask is None:
        seen.flags |= Flag.ASSUMED_MASK
    else:
        seen.maskbits = mask


def parse_psf(data: bytes, size: int) -> np.ndarray:
    """PSF images (band, y, x), their middle `size` pixels (odd) at unit flux; NaN for no PSF.

    Raises Damaged if the answer is not what was asked for
    """
    images = np.full((len(BANDS), size, size), np.nan, np.float32)
    with _opened(data) as hdus:
        for hdu in hdus:
            band = str(hdu.header.get("BAND", "")).strip()
            if band in BANDS and hdu.data is not None:
                images[BANDS.index(band)] = _middle(hdu.data, size)
    return images


def _middle(psf: np.ndarray, size: int) -> np.ndarray:
    start = [(n - size) // 2 for n in psf.shape]
    if min(start) < 0:
        raise Damaged(f"a PSF image of {psf.shape}, at least {size} pixels are needed")
    middle = psf[start[0] : start[0] + size, start[1] : start[1] + size].astype(float)
    if not np.isfinite(middle).all() or not middle.sum() > 0:
        raise Damaged("a PSF image without flux")
    return middle / middle.sum()


def add_psf(seen: Seen, images: np.ndarray) -> None:
    """The PSF images of a place, and their widths and shapes; bands without one stay unknown."""
    for i, image in enumerate(images):
        if np.isfinite(image).all():
            seen.psf_fwhm[i], seen.psf_e1[i], seen.psf_e2[i] = measure_psf(
                image, PIXEL_SCALE_ARCSEC
            )
    if np.isfinite(images).all():
        seen.psf_image = images


@dataclass(frozen=True)
class CutoutService:
    """The viewer's service as a place to look."""

    answers: Kept
    layer: str
    size: int  # side of the stamps, pixels
    psf_size: int  # side of the PSF images, pixels, odd

    def look(self, ra_deg: np.ndarray, dec_deg: np.ndarray) -> Iterator[Seen]:
        """What is seen about each position, in order; faults are flags, never exceptions."""
        for ra, dec in zip(ra_deg, dec_deg, strict=True):
            try:
                yield self._seen(float(ra), float(dec))
            except Absent as error:
                yield Seen.nothing(self.size, Flag.NOT_COVERED, f"no such answer: {error}")
            except NoAnswer as error:
                yield Seen.nothing(self.size, Flag.NO_ANSWER, str(error))
            except Damaged as error:
                for query in self._queries(float(ra), float(dec)):
                    self.answers.forget(query)
                yield Seen.nothing(self.size, Flag.DAMAGED, str(error))

    def _seen(self, ra: float, dec: float) -> Seen:
        telescope = telescope_at(self.layer, dec)
        if telescope is None:
            return Seen.nothing(self.size, Flag.OTHER_TELESCOPE, f"Dec {dec:.3f} in {self.layer}")
        cutout, mask, psf = self._queries(ra, dec)
        seen = parse_cutout(self.answers.read(cutout), ra, dec, self.size)
        seen.telescope = telescope
        if seen.flags & ~Flag.MISSING_BAND:
            return seen
        add_mask(seen, parse_mask(self.answers.read(mask), seen.center, self.size))
        add_psf(seen, parse_psf(self.answers.read(psf), self.psf_size))
        return seen

    def _queries(self, ra: float, dec: float) -> tuple[str, str, str]:
        return (
            cutout_query(ra, dec, self.size, self.layer),
            mask_query(ra, dec, self.size, self.layer),
            psf_query(ra, dec, self.layer),
        )


def telescope_at(layer: str, dec_deg: float) -> str | None:
    """Which telescope a layer shows; None where a layer of both would show the other one.

    North of Dec 32.375 a layer such as ls-dr10 shows BASS and MzLS images without a word.
    """
    if layer.endswith("-north"):
        return "90prime-mosaic"
    return "decam" if layer.endswith("-south") or dec_deg < NORTHERN_LIMIT_DEG else None
