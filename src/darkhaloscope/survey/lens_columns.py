"""Columns of catalogues, whatever they are called and however they write numbers and angles."""

import re
from collections.abc import Mapping

import numpy as np
from astropy.table import Column, MaskedColumn

from darkhaloscope.units import BANDS

WORDS: Mapping[str, tuple[str, ...]] = {
    "name": (
        "lens_name", "lens", "lens_system", "system", "systemname", "designation", "iau_name",
        "object", "objname", "target", "targname", "sysname", "id",
    ),
    "reference": ("ref", "refs", "bibcode"),
    "grade": ("grading", "rank"),
    "kind_of_lens": ("type", "lens_type"),
    "anchor_class": ("class", "host_kind"),
}  # fmt: skip
NUMBERS: Mapping[str, tuple[str, ...]] = {
    "ra_deg": ("ra", "raj2000", "_raj2000", "ra_j2000", "ra_icrs", "alpha_j2000", "alpha"),
    "dec_deg": (
        "dec", "decj2000", "_dej2000", "dej2000", "dec_j2000", "de_icrs", "dec_icrs",
        "delta_j2000", "delta",
    ),
    "theta_E_arcsec": (
        "theta_e", "thetae", "theta_ein", "thetaein", "theta_einstein", "einstein_radius", "r_ein",
        "rein", "r_einstein",
    ),
    "z_lens": ("zlens", "zl", "z_l", "zd", "z_d", "z_fg", "zfg", "lens_redshift", "redshift_lens"),
    "z_source": (
        "zsource", "zsrc", "z_src", "zs", "z_s", "z_bg", "zbg", "source_redshift",
        "redshift_source",
    ),
    "arc_mag_g": ("mag_arc_g", "arc_g", "g_arc"),
    "ebv_mag": ("ebv",),
    **{f"host_mag_{b}": (f"mag_{b}", f"{b}_mag", f"{b}mag", f"modelmag_{b}") for b in BANDS},
}  # fmt: skip
"""What else our columns are called, in lower case and without units."""

UNIT = re.compile(r"\s*[\[(]\s*([^\])]*?)\s*[\])]\s*$")
DEGREES = {"deg": 1.0, "degree": 1.0, "degrees": 1.0, "hourangle": 15.0, "hours": 15.0}
DEGREES |= {"hour": 15.0, "h": 15.0, "rad": np.degrees(1.0), "radian": np.degrees(1.0)}
_SPLIT = re.compile(r"[:hdms°'\"\s]+")
_LOOKED_AT = 20


def recognised(names: list[str]) -> dict[str, str]:
    """Our names to theirs; the first of our spellings that is there counts."""
    theirs = {}
    for name in names:
        theirs.setdefault(UNIT.sub("", name).strip().lower().replace(" ", "_"), name)
    found = {}
    for ours, others in {**WORDS, **NUMBERS}.items():
        spelled = next((w for w in (ours.lower(), *others) if w in theirs), None)
        if spelled is not None:
            found[ours] = theirs[spelled]
    return found


def unit_of(column: Column, name: str) -> str:
    """Of the column itself, or in brackets behind its name; empty if it does not tell."""
    if column.unit is not None:
        return str(column.unit).lower()
    bracket = UNIT.search(name)
    return bracket[1].lower() if bracket else ""


def words(column: Column) -> np.ndarray:
    """As text; empty where masked."""
    hidden = column.mask if isinstance(column, MaskedColumn) else np.zeros(len(column), bool)
    values = [v.decode() if isinstance(v, bytes) else str(v) for v in column.tolist()]
    return np.array(
        ["" if gone else v.strip() for v, gone in zip(values, hidden, strict=True)], object
    )


def plain(text: str) -> float:
    """A number; NaN for anything else, such as 0.4?, -, measured."""
    try:
        return float(text)
    except ValueError:
        return np.nan


def sexagesimal(column: Column) -> bool:
    """Whether angles are written in three parts."""
    return any(len(_parts(text)) == 3 for text in words(column)[:_LOOKED_AT])


def _parts(text: str) -> list[str]:
    return [part for part in _SPLIT.split(text.strip()) if part]


def angle(text: str, hours: bool) -> float:
    """Degrees of a decimal number, or of H:M:S (`hours`) or D:M:S; NaN for anything else."""
    parts = [plain(part) for part in _parts(text.replace("\u2212", "-"))]
    if len(parts) == 1:
        return parts[0]
    if len(parts) != 3 or not all(0 <= part < 60 for part in parts[1:]):
        return np.nan
    size = abs(parts[0]) + parts[1] / 60 + parts[2] / 3600
    sign = -1.0 if text.strip()[:1] in ("-", "\u2212") else 1.0
    return sign * size * (15.0 if hours else 1.0)
