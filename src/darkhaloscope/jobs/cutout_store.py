"""What every cutout store shares: the row of a cutout, its parts, its quarantine, its record."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from darkhaloscope.flags import FATAL, NOTHING_SEEN, PASSING, Flag, names
from darkhaloscope.io.parts import PARTS, QUARANTINE_DIR, PartStore, parts_in
from darkhaloscope.io.tables import image_bytes, read_table, write_table
from darkhaloscope.jobs.progress import console
from darkhaloscope.schema import CUTOUT_QUARANTINE, CUTOUTS, band_columns
from darkhaloscope.sim.inject import cutout_flags, sky_sigma
from darkhaloscope.units import BANDS, PIXEL_SCALE_ARCSEC

_NOT_KNOWN = (np.nan,) * len(BANDS)
_ROUND = (0.0,) * len(BANDS)
_NO_FLAG = Flag(0)


def cutout_row(
    *,
    image: np.ndarray,
    invvar: np.ndarray,
    psf_fwhm,
    nexp,
    host,
    maskbits: np.ndarray | None = None,
    psf_e1=_ROUND,
    psf_e2=_ROUND,
    psf_depth=_NOT_KNOWN,
    psf_image: np.ndarray | None = None,
    host_kind: str = "luminous",
    flags: Flag = _NO_FLAG,
    **words,
) -> dict:
    """A row of schema.CUTOUTS; what the pixels tell of its faults is added to its flags.

    image, invvar : (band, y, x), nmgy and nmgy**-2; maskbits : (y, x), none set if absent
    psf_fwhm (arcsec), psf_e1, psf_e2, psf_depth (AB mag), nexp : one value a band
    psf_image : (band, y, x) of unit flux, if known
    host : centre x, y (arcsec from the stamp's centre), r_e (arcsec), q, phi (rad), mags g r z
    words : the remaining columns of schema.HOST by name, and perhaps `detail` of what is wrong
    """
    x, y, r_e, q, phi, mags = host
    size = image.shape[-1]
    mask = np.zeros((size, size), "<i4") if maskbits is None else maskbits.astype("<i4")
    if not flags & NOTHING_SEEN:
        flags |= cutout_flags(image, invvar, mask, psf_fwhm, nexp, (x, y), PIXEL_SCALE_ARCSEC)
    per_band = {
        "psf_fwhm_{b}_arcsec": psf_fwhm,
        "psf_e1_{b}": psf_e1,
        "psf_e2_{b}": psf_e2,
        "psf_depth_{b}_mag": psf_depth,
        "sky_sigma_{b}_nmgy": sky_sigma(image),
        "host_mag_{b}": mags,
    }
    row = {**words, "host_kind": host_kind, "pixel_scale_arcsec": PIXEL_SCALE_ARCSEC}
    for pattern, values in per_band.items():
        row |= dict(zip(band_columns(pattern), map(float, values), strict=True))
    return row | {
        **dict(zip(band_columns("nexp_{b}"), map(int, nexp), strict=True)),
        "host_center_x_arcsec": x,
        "host_center_y_arcsec": y,
        "host_r_e_arcsec": r_e,
        "host_q": q,
        "host_phi_rad": phi,
        "host_flags": int(flags),
        "size_pix": size,
        "image": image_bytes(image),
        "invvar": image_bytes(invvar),
        "maskbits": mask.tobytes(),
        "psf_size_pix": 0 if psf_image is None else psf_image.shape[-1],
        "psf_image": b"" if psf_image is None else image_bytes(psf_image),
    }


def is_fatal(row: dict) -> bool:
    return bool(row["host_flags"] & FATAL)


def write_part(store: PartStore, part: int, rows: Sequence[dict]) -> None:
    """Good rows with their pixels, the others in the quarantine table with their causes.

    The good rows are written last: their file is the commit.
    """
    bad = [
        {"detail": ""} | row | {"cause": names(row["host_flags"] & FATAL)}
        for row in rows
        if is_fatal(row)
    ]
    path = store.quarantine(part)
    if bad:
        write_table(path, bad, CUTOUT_QUARANTINE, store.metadata())
    else:
        path.unlink(missing_ok=True)
    good = [row for row in rows if not is_fatal(row)]
    write_table(store.path(part), good, CUTOUTS, store.metadata())


def earlier(store: PartStore, part: int) -> dict[str, dict]:
    """Rows of a part made before, by host_id, but for those that another try may cure."""
    path = store.quarantine(part)
    rows = read_table(store.path(part), CUTOUTS).to_pylist()
    if path.exists():
        bad = read_table(path, CUTOUT_QUARANTINE).to_pylist()
        rows += [row for row in bad if not row["host_flags"] & PASSING]
    return {row["host_id"]: row for row in rows}


def is_settled(store: PartStore, part: int) -> bool:
    """Whether a part is done, and holds no row that another try may cure."""
    if not store.is_done(part):
        return False
    path = store.quarantine(part)
    if not path.exists():
        return True
    flags = read_table(path, CUTOUT_QUARANTINE, ["host_flags"])["host_flags"].to_pylist()
    return not any(bits & PASSING for bits in flags)


def quarantined(folder: Path) -> Counter:
    """How many hosts of a store went to quarantine, by cause."""
    found = sorted((folder / QUARANTINE_DIR).glob(PARTS))
    return Counter(
        cause
        for path in found
        for cause in read_table(path, CUTOUT_QUARANTINE, ["cause"])["cause"].to_pylist()
    )


def write_record(store: PartStore) -> int:
    """The run record and a line on the screen; returns the number of usable hosts."""
    rows = {p.name: read_table(p, CUTOUTS, ["split"]).num_rows for p in parts_in(store.folder)}
    usable = sum(rows.values())
    causes = quarantined(store.folder)
    digest = store.write_record(hosts=usable, quarantined=dict(sorted(causes.items())), rows=rows)
    for cause, count in causes.most_common():
        console.print(f"  {count} hosts quarantined: {cause}")
    console.print(f"cutouts {store.folder}: {usable} hosts, digest {digest[:16]}")
    return usable
