"""Catalogues of the Legacy Surveys, sweeps and Tractor files, read in blocks of rows.

Columns come out under the sweeps' names in lower case, in native byte order. Parquet and CSV tables
with the same names, in any case, are read too. Source: DR8 to DR10 catalogues pages.
"""

import gzip
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import astropy.units as u
import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning, AstropyWarning

from darkhaloscope.errors import DhsError
from darkhaloscope.flags import Flag
from darkhaloscope.survey.npz import NORTHERN_LIMIT_DEG
from darkhaloscope.units import BANDS, ZERO_POINT_MAG, mag_from_flux

Columns = dict[str, np.ndarray]

REQUIRED = ("ra", "dec", "type", *(f"flux_{band}" for band in BANDS))
_OPTIONAL = (
    "release", "brickid", "objid", "brickname", "brick_primary", "maskbits", "photsys", "ebv",
    "ref_cat", "flux_w1", "flux_ivar_w1", "mw_transmission_w1", "fiberflux_z", "fibertotflux_z",
    "sersic", "shape_r", "shape_e1", "shape_e2", "fracdev",
    "shapedev_r", "shapedev_e1", "shapedev_e2", "shapeexp_r", "shapeexp_e1", "shapeexp_e2",
    "gaia_phot_g_mean_mag", "pmra", "pmra_ivar", "pmdec", "pmdec_ivar",
    *(f"{name}_{band}" for band in BANDS for name in (
        "flux_ivar", "mw_transmission", "nobs", "psfsize", "psfdepth", "allmask",
        "fracflux", "fracmasked", "fracin",
    )),
    *(f"psfdepth_{band}_mag" for band in BANDS),
)  # fmt: skip
_IN_FOLDERS = re.compile(r"((sweep|tractor)-.*\.fits(\.gz)?|.*\.(parquet|csv))")
_ROWS_AT_ONCE = 50_000

_BRIGHT = 1 << 1 | 1 << 11  # BRIGHT, MEDIUM
_SPOILED = 0b111 << 2 | 0b111 << 5 | 1 << 10  # SATUR_grz, ALLMASK_grz, BAILOUT
_TYCHO = "T2"  # REF_CAT of the stars of Tycho-2
_MOVING_CHI2 = 25  # proper motion, over its errors: Gaia has galaxies too, which stay
_SECONDARY = 1 << 0  # NPRIMARY: the neighbouring brick has it too

BRIGHTEST_Z_MAG = 13.0
"""AB: the brightest galaxies, of M_z = -24, are so bright at z 0.05; SLACS hosts reach 14.4."""
NEAR_Z_MAG, NEAR_R_MINUS_Z = 16.0, 1.1
"""AB: what is brighter is nearer than z 0.3, where no elliptical is redder; stars and the light
about them are, or are points. All rows of real catalogues with z < 15.5 are points."""
REDDEST_R_MINUS_Z, REDDEST_Z_MINUS_W1 = 3.0, 3.2
"""AB: no galaxy at z < 1.2 is redder (old ellipticals reach 2.0 and 2.3); halos of stars are."""
MOST_FRACFLUX, MOST_FRACMASKED, LEAST_FRACIN = 5.0, 0.4, 0.3
"""Source: quality cuts of the DESI bright galaxy survey, Hahn et al. (2023)."""


def find_catalogues(sources: list[Path]) -> list[Path]:
    """The catalogue files of files and folders, in order, each once.

    In folders, at any depth, sweep-*.fits, tractor-*.fits (or .gz), *.parquet and *.csv are taken.
    Raises DhsError if there is none
    """
    found: dict[Path, Path] = {}
    for source in sources:
        if not source.exists():
            raise DhsError(f"{source} does not exist; give sweep or Tractor files, or folders")
        inside = (p for p in source.rglob("*") if _IN_FOLDERS.fullmatch(p.name) and p.is_file())
        for path in inside if source.is_dir() else (source,):
            found.setdefault(path.resolve(), path)
    if not found:
        listed = ", ".join(map(str, sources))
        raise DhsError(
            f"{listed}: no sweep-*.fits, tractor-*.fits, *.parquet or *.csv found; "
            "give folders that hold them, or name files of other names"
        )
    return sorted(found.values())


def blocks(path: Path) -> Iterator[Columns]:
    """The catalogue's known columns, some rows at a time; a file of no rows gives one empty block.

    Raises DhsError for a file that is no table, is cut short, or lacks a column of REQUIRED
    """
    try:
        if path.name.endswith(".parquet"):
            yield from _arrow_blocks(path, _batches(pq.ParquetFile(path)))
        elif path.name.endswith(".csv"):
            yield from _arrow_blocks(path, pc.open_csv(path))
        else:
            yield from _fits_blocks(path)
    except (OSError, EOFError, AstropyWarning, pa.ArrowException) as error:
        raise DhsError(f"{path}: missing, damaged or cut short: {error}; fetch it again") from error


def _fits_blocks(path: Path) -> Iterator[Columns]:
    """Rows are read as they lie in the file: astropy's own tables would keep all in memory."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", AstropyUserWarning)  # such as: file may be truncated
        with fits.open(path, lazy_load_hdus=True) as hdus:
            table = next((h for h in hdus if isinstance(h, fits.BinTableHDU)), None)
            if table is None:
                raise DhsError(f"{path} is FITS but holds no table; give a sweep or Tractor file")
            columns = {c.name: c for c in table.columns}
            known = _known(path, list(columns))
            record = np.dtype(table.columns.dtype).newbyteorder(">")
            n, at = table.header["NAXIS2"], table.fileinfo()["datLoc"]
    with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as stream:
        stream.seek(at)
        for start in range(0, max(n, 1), _ROWS_AT_ONCE):
            rows = min(_ROWS_AT_ONCE, n - start)
            data = stream.read(rows * record.itemsize)
            if len(data) < rows * record.itemsize:
                raise EOFError(f"{n} rows are announced, row {start} on is not there")
            some = np.frombuffer(data, record)
            yield {name: _native(some[theirs], columns[theirs]) for name, theirs in known.items()}


def _batches(file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    if file.metadata.num_rows:
        yield from file.iter_batches(_ROWS_AT_ONCE)
    else:
        yield pa.RecordBatch.from_pylist([], schema=file.schema_arrow)


def _arrow_blocks(path: Path, batches) -> Iterator[Columns]:
    for batch in batches:
        known = _known(path, batch.schema.names)
        yield {
            name: _native(batch.column(batch.schema.names.index(theirs)).to_numpy(False))
            for name, theirs in known.items()
        }


def _known(path: Path, names: list[str]) -> dict[str, str]:
    """Our name to theirs, of the columns that are there."""
    theirs = {name.lower(): name for name in names}
    if missing := [name for name in REQUIRED if name not in theirs]:
        raise DhsError(
            f"{path} lacks the columns {', '.join(missing)}; needed are {', '.join(REQUIRED)} "
            "as in the Legacy Surveys' sweeps"
        )
    return {name: theirs[name] for name in (*REQUIRED, *_OPTIONAL) if name in theirs}


def _native(values: np.ndarray, column: fits.Column | None = None) -> np.ndarray:
    """In memory, native byte order; text without padding."""
    if column is not None and (column.bscale or column.bzero):
        raise DhsError(
            f"column {column.name} is scaled (TSCAL, TZERO), which the survey's never are"
        )
    if column is not None and column.format.endswith("L"):
        return values == ord("T")
    if values.dtype.kind in "SUO":
        return np.char.strip(values.astype(str)).astype(object)
    return values.astype(values.dtype.newbyteorder("="))


def is_candidate(columns: Columns) -> np.ndarray:
    """Objects that count once: primary in their brick, and not a doubled Gaia star."""
    one = np.ones(len(columns["ra"]), bool)
    if "brick_primary" in columns:
        one &= columns["brick_primary"].astype(bool)
    if "maskbits" in columns:
        one &= (columns["maskbits"].astype(int) & _SECONDARY) == 0
    return one & (columns["type"] != "DUP")


def depth_mag(psfdepth: np.ndarray) -> np.ndarray:
    """5 sigma point-source depth, AB, from inverse variance (1/nmgy**2); NaN where it is not > 0.

    -2.5 (log10(5 / sqrt(psfdepth)) - 9)
    """
    good = np.where(psfdepth > 0, psfdepth, np.nan).astype(float)
    return ZERO_POINT_MAG - 2.5 * np.log10(5 / np.sqrt(good))


def depth_of(columns: Mapping[str, np.ndarray], band: str) -> np.ndarray:
    """5 sigma point-source depth of a band, AB: of a column in mag if there is one; else NaN."""
    if f"psfdepth_{band}_mag" in columns:
        return columns[f"psfdepth_{band}_mag"].astype(float)
    return depth_mag(columns.get(f"psfdepth_{band}", np.full(len(columns["ra"]), np.nan)))


def check_units(path: Path, columns: Mapping[str, np.ndarray]) -> None:
    """Raise DhsError if values of a column can only be of another unit than its own.

    In g and r, 1/nmgy**2 below 30 would be shallower than 22.7 mag, which no brick is.
    """
    for band in ("g", "r"):
        depth = _high(columns, f"psfdepth_{band}")
        if depth < 30:
            raise DhsError(
                f"{path}: psfdepth_{band} reaches {depth:.4g} only, which are magnitudes; sweeps "
                "and Tractor files hold 1/nmgy^2 (hundreds to thousands). Brick tables cannot be "
                f"parents; if these are depths in AB mag, name the column psfdepth_{band}_mag"
            )
        in_mag = _high(columns, f"psfdepth_{band}_mag")
        if 30 < in_mag < np.inf:
            raise DhsError(
                f"{path}: psfdepth_{band}_mag reaches {in_mag:.4g}, which are no magnitudes; "
                f"name the column psfdepth_{band} if it holds 1/nmgy^2"
            )
    for band in BANDS:
        seeing = _middle(columns, f"psfsize_{band}")
        if not (np.isnan(seeing) or 0.4 < seeing < 4):
            raise DhsError(
                f"{path}: psfsize_{band} is {seeing:.3g} in the median, which is no seeing in "
                "arcsec (0.4 to 4); is it pixels or degrees?"
            )
    _check_fluxes(path, columns)
    _check_positions(path, columns)


def _high(columns: Mapping[str, np.ndarray], name: str) -> float:
    """What 1 % of the positive values reach; infinite if there are none."""
    values = columns.get(name, np.zeros(0))
    values = values[values > 0]
    return float(np.percentile(values, 99)) if values.size else np.inf


def _middle(columns: Mapping[str, np.ndarray], name: str) -> float:
    """Median of the positive values, NaN if there are none."""
    values = columns.get(name, np.zeros(0))
    values = values[values > 0]
    return float(np.median(values)) if values.size else np.nan


def _check_fluxes(path: Path, columns: Mapping[str, np.ndarray]) -> None:
    """Fluxes of a catalogue span decades; where all bands stay within 13 to 27 they are mags."""
    fluxes = np.concatenate([columns[f"flux_{band}"] for band in BANDS])
    if len(fluxes) >= 60 and (np.nanmin(fluxes) > 13) and (np.nanmax(fluxes) < 27):
        raise DhsError(
            f"{path}: flux_g, flux_r and flux_z all lie within {np.nanmin(fluxes):.4g} to "
            f"{np.nanmax(fluxes):.4g}, which are magnitudes; fluxes must be nmgy"
        )


def _check_positions(path: Path, columns: Mapping[str, np.ndarray]) -> None:
    ra, dec = columns["ra"], columns["dec"]
    off = ~((ra >= 0) & (ra <= 360) & (np.abs(dec) <= 90))
    if off.any():
        raise DhsError(
            f"{path}: ra, dec of {off.sum()} objects are not degrees, 0 to 360 and -90 to 90, "
            f"the first {ra[off][0]:g}, {dec[off][0]:g}"
        )


def telescope_of_rows(columns: Columns) -> np.ndarray:
    """decam or 90prime-mosaic: by PHOTSYS, else by RELEASE, else by place.

    Of the north are DR4 and DR6, and of DR8 and DR9 (8001 to 9013) the odd numbers; DR10 is of
    the south. Source: releasedict of desitarget.io. Without either column, BASS and MzLS see what
    is north of Dec 32.375 and of the Galaxy.
    """
    if "photsys" in columns and np.isin(columns["photsys"], ["N", "S"]).all():
        north = columns["photsys"] == "N"
    elif "release" in columns:
        release = columns["release"].astype(int)
        odd = (release // 1000 >= 8) & (release < 10000) & (release % 2 == 1)
        north = odd | np.isin(release // 1000, (4, 6))
    else:
        place = SkyCoord(columns["ra"] * u.deg, columns["dec"] * u.deg)
        north = (columns["dec"] > NORTHERN_LIMIT_DEG) & (place.galactic.b.deg > 0)
    return np.where(north, "90prime-mosaic", "decam").astype(object)


def host_ids(columns: Columns) -> np.ndarray:
    """RELEASE-BRICKID-OBJID, or JHHMMSS.sss+DDMMSS.ss by position where a table lacks them."""
    if all(name in columns for name in ("release", "brickid", "objid")):
        numbers = zip(columns["release"], columns["brickid"], columns["objid"], strict=True)
        return np.array([f"{r}-{b}-{o}" for r, b, o in numbers], object)
    place = SkyCoord(columns["ra"] * u.deg, columns["dec"] * u.deg)
    ra = place.ra.to_string(u.hourangle, sep="", precision=3, pad=True)
    dec = place.dec.to_string(sep="", precision=2, alwayssign=True, pad=True)
    return np.array([f"J{east}{north}" for east, north in zip(ra, dec, strict=True)], object)


def shapes(columns: Columns) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Half-light radius (arcsec), Sersic index, q and angle (rad from +x); NaN if not known.

    |e| = (1 - q) / (1 + q), and the position angle arctan2(e2, e1) / 2 runs from north to east.
    On stamps +x is west and +y north, so that from +x the angle is a quarter turn more.
    Source: DR10 catalogues page; tractor.ellipses.EllipseE.getRaDecBasis, whose major axis is
    (sin, cos) of that angle in (RA, Dec)
    """
    n = len(columns["ra"])
    if "shape_r" in columns:
        radius, e1, e2 = (columns[f"shape_{name}"].astype(float) for name in ("r", "e1", "e2"))
        index = columns.get("sersic", np.full(n, np.nan)).astype(float)
    elif "shapedev_r" in columns and "shapeexp_r" in columns:
        dev = np.isin(columns["type"], ["DEV"])
        if "fracdev" in columns:
            dev |= (columns["type"] == "COMP") & (columns["fracdev"] > 0.5)
        radius, e1, e2 = (
            np.where(dev, columns[f"shapedev_{name}"], columns[f"shapeexp_{name}"]).astype(float)
            for name in ("r", "e1", "e2")
        )
        index = np.where(dev, 4.0, 1.0)
    else:
        nothing = np.full(n, np.nan)
        return nothing, nothing, nothing, nothing
    size = np.hypot(e1, e2)
    known = (radius > 0) & (size < 1)
    phi = np.mod(0.5 * np.arctan2(e2, e1) + np.pi / 2, np.pi)
    q = (1 - size) / (1 + size)
    radius, index, q, phi = (np.where(known, v, np.nan) for v in (radius, index, q, phi))
    return radius, index, q, phi


def flags_of(columns: Columns) -> np.ndarray:
    """Causes by which an object is no host, from the catalogue alone."""
    causes = {
        Flag.POINT_SOURCE: columns["type"] == "PSF",
        Flag.BRIGHT_STAR: _starlight(columns),
        Flag.BAD_PHOTOMETRY: _badly_measured(columns),
        Flag.SURVEY_MASK: _masked(columns),
    }
    bits = np.zeros(len(columns["ra"]), np.int64)
    for flag, present in causes.items():
        bits |= np.where(present, int(flag), 0)
    return bits


def _starlight(columns: Columns) -> np.ndarray:
    """No galaxy is so bright, or so red for its brightness, or moves; or the survey says so."""
    r, z = (mag_from_flux(columns[f"flux_{band}"]) for band in ("r", "z"))
    like_one = (columns["type"] == "PSF") | (r - z > NEAR_R_MINUS_Z)
    star = (z < BRIGHTEST_Z_MAG) | ((z < NEAR_Z_MAG) & like_one)
    if "flux_w1" in columns:
        star |= z - mag_from_flux(columns["flux_w1"]) > REDDEST_Z_MINUS_W1
    if "maskbits" in columns:
        star |= (columns["maskbits"].astype(int) & _BRIGHT) != 0
    if "ref_cat" in columns:
        star |= columns["ref_cat"] == _TYCHO
    if all(name in columns for name in ("pmra", "pmra_ivar", "pmdec", "pmdec_ivar")):
        moved = sum(columns[f"pm{x}"] ** 2 * columns[f"pm{x}_ivar"] for x in ("ra", "dec"))
        star |= np.asarray(moved) > _MOVING_CHI2
    return star


def _badly_measured(columns: Columns) -> np.ndarray:
    bad = np.zeros(len(columns["ra"]), bool)
    limits = (
        ("fracflux", lambda v: v >= MOST_FRACFLUX),
        ("fracmasked", lambda v: v >= MOST_FRACMASKED),
        ("fracin", lambda v: v <= LEAST_FRACIN),
        ("flux_ivar", lambda v: ~(v > 0)),
    )
    for band in BANDS:
        flux = columns[f"flux_{band}"]
        bad |= ~(np.isfinite(flux) & (flux > 0))
        for name, outside in limits:
            if f"{name}_{band}" in columns:
                bad |= outside(columns[f"{name}_{band}"])
    colour = mag_from_flux(columns["flux_r"]) - mag_from_flux(columns["flux_z"])
    return bad | (colour > REDDEST_R_MINUS_Z)


def _masked(columns: Columns) -> np.ndarray:
    masked = np.zeros(len(columns["ra"]), bool)
    if "maskbits" in columns:
        masked |= (columns["maskbits"].astype(int) & _SPOILED) != 0
    for band in BANDS:
        if f"allmask_{band}" in columns:
            masked |= columns[f"allmask_{band}"] != 0
    return masked
