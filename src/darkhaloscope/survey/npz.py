"""Cutouts that someone saved as .npz: `cutout` (y, x, band), g r z, nmgy, with `meta_*` words."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from darkhaloscope.errors import DhsError
from darkhaloscope.units import BANDS, PIXEL_SCALE_ARCSEC

NORTHERN_LIMIT_DEG = 32.375
"""North of it the ls-dr10 layer shows BASS and MzLS, other telescopes and filters."""


@dataclass(frozen=True)
class NpzCutout:
    """One file's content."""

    name: str
    image: np.ndarray  # (band, y, x) float32, nmgy
    ra_deg: float
    dec_deg: float
    brick: str
    pixel_scale: float  # arcsec


def find_cutouts(source: Path) -> list[Path]:
    """The .npz files of a folder, or the file itself. Raises DhsError if there is none."""
    found = [source] if source.is_file() else sorted(source.glob("*.npz"))
    if not found:
        raise DhsError(f"{source} holds no .npz cutout; give a folder of them, or one file")
    return found


def read_cutout(path: Path) -> NpzCutout:
    """Read and check one file.

    Raises DhsError for a damaged file, a missing key, a shape other than (n, n, 3), a pixel scale
    other than the survey's, or a position where another telescope observed
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            content = {key: file[key] for key in file.files if key in _KEYS}
    except (OSError, ValueError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise DhsError(f"{path}: not a readable .npz: {error}") from error
    if missing := sorted({"cutout", "meta_ra", "meta_dec"} - set(content)):
        raise DhsError(f"{path} lacks {', '.join(missing)}; needed: cutout, meta_ra, meta_dec")
    image = content["cutout"]
    if image.ndim != 3 or image.shape[0] != image.shape[1] or image.shape[2] != len(BANDS):
        raise DhsError(
            f"{path}: cutout has shape {image.shape}, must be square with bands last, "
            f"(n, n, {len(BANDS)}) in g, r, z"
        )
    if image.dtype.kind != "f":
        raise DhsError(f"{path}: cutout holds {image.dtype}, must be floats in nmgy")
    if image.shape[0] < 32:
        raise DhsError(f"{path}: cutout is {image.shape[0]} pixels wide, must be at least 32")
    scale = float(content.get("meta_pixel_scale", PIXEL_SCALE_ARCSEC))
    if abs(scale - PIXEL_SCALE_ARCSEC) > 1e-3:
        raise DhsError(
            f"{path}: pixel scale {scale} arcsec, must be {PIXEL_SCALE_ARCSEC} (Legacy Surveys)"
        )
    ra, dec = (_degrees(path, key, content[key]) for key in ("meta_ra", "meta_dec"))
    if not (0 <= ra <= 360 and -90 <= dec <= 90):
        raise DhsError(
            f"{path}: meta_ra, meta_dec are {ra:g}, {dec:g}; they must be degrees, ICRS, "
            "0 to 360 and -90 to 90"
        )
    if dec >= NORTHERN_LIMIT_DEG:
        raise DhsError(
            f"{path}: Dec {dec:.3f} lies north of {NORTHERN_LIMIT_DEG}, where the layer shows "
            "another telescope's images; only DECam cutouts may be mixed"
        )
    return NpzCutout(
        name=path.stem,
        image=np.ascontiguousarray(image.transpose(2, 0, 1), np.float32),
        ra_deg=ra,
        dec_deg=dec,
        brick=str(content.get("meta_brickname", "")),
        pixel_scale=PIXEL_SCALE_ARCSEC,
    )


def _degrees(path: Path, key: str, value: np.ndarray) -> float:
    try:
        return float(value.item())
    except (ValueError, TypeError) as error:
        raise DhsError(f"{path}: {key} must be one number, degrees; got {value!r}") from error


_KEYS = {"cutout", "meta_ra", "meta_dec", "meta_brickname", "meta_pixel_scale"}
