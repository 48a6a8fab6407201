"""Cutouts in FITS files, as the survey's viewer or `dhs export` writes them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales

from darkhaloscope.errors import DhsError
from darkhaloscope.units import BANDS

SUFFIXES = (".fits", ".fits.fz", ".fits.gz", ".fit")


@dataclass(frozen=True)
class FitsCutouts:
    """Stamps of one file.

    images : (row, band, y, x) float32, nmgy, bands g r z; table : columns of the rows that the
    file has beside them, such as schema.STAMPS; empty for the viewer's
    """

    images: np.ndarray
    table: dict[str, np.ndarray]
    pixel_scale_arcsec: float
    ra_deg: float
    dec_deg: float


def find_fits(source: Path) -> list[Path]:
    """The file, or all FITS files of the folder. Raises DhsError if there is none"""
    if source.is_file():
        return [source]
    found = sorted(path for path in source.rglob("*") if path.name.lower().endswith(SUFFIXES))
    if not found:
        raise DhsError(f"{source} holds no FITS file ({', '.join(SUFFIXES)})")
    return found


def read_fits(path: Path) -> FitsCutouts:
    """The first image of three bands, g r z, and the table ROWS where there is one.

    Raises DhsError for a file that is damaged, has other bands, or no scale
    """
    try:
        with fits.open(path, memmap=False) as hdus:
            image = next((hdu for hdu in hdus if _is_image(hdu)), None)
            if image is None:
                raise DhsError(
                    f"{path} holds no image of shape (3, y, x) or (row, 3, y, x); bands must be "
                    "g, r and z in one HDU, as the viewer's fits-cutout?bands=grz gives them"
                )
            return _of(image, next((h for h in hdus if h.name == "ROWS"), None), path)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DhsError(f"{path} cannot be read as FITS: {error}") from error


def _columns(table) -> dict[str, np.ndarray]:
    return {name: _native(np.asarray(table.data[name])) for name in table.columns.names}


def _native(values: np.ndarray) -> np.ndarray:
    """In this machine's byte order; words as objects."""
    kind = values.dtype
    return values.astype(object if kind.kind in "US" else kind.newbyteorder("="))


def _is_image(hdu) -> bool:
    if not getattr(hdu, "is_image", False) or hdu.data is None or hdu.data.ndim not in (3, 4):
        return False
    bands, height, width = hdu.data.shape[-3:]
    return bands == len(BANDS) and height == width


def _of(image, table, path: Path) -> FitsCutouts:
    header = image.header
    bands = str(header.get("BANDS", "grz")).strip()
    if bands != "".join(BANDS):
        raise DhsError(f"{path} holds bands {bands}; bands {''.join(BANDS)} are needed")
    data = np.asarray(image.data, np.float32)
    rows = {} if table is None else _columns(table)
    if "pixel_scale_arcsec" in rows:
        scale = float(rows["pixel_scale_arcsec"][0])
    elif "CD1_1" in header or "CDELT1" in header:
        scale = float(proj_plane_pixel_scales(WCS(header, naxis=2))[0]) * 3600
    else:
        raise DhsError(f"{path} says nothing of its pixels' size: no CD1_1, CDELT1 or ROWS")
    ra, dec = (
        float(header.get(name, header.get(other, np.nan)))
        for name, other in (("RA", "CRVAL1"), ("DEC", "CRVAL2"))
    )
    images = data if data.ndim == 4 else data[None]
    if any(len(values) != len(images) for values in rows.values()):
        raise DhsError(f"{path}: its table ROWS is not of its {len(images)} images")
    return FitsCutouts(images, rows, scale, ra, dec)
