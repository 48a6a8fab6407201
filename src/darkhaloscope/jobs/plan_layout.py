"""The plan's own table of stamps: its names and types, each from our columns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from darkhaloscope.io.bank import Bank
from darkhaloscope.schema import Column
from darkhaloscope.units import BANDS, mag_from_flux

Columns = Mapping[str, np.ndarray]

_f8, _i4, _str = pa.float64(), pa.int32(), pa.string()


@dataclass(frozen=True)
class Theirs:
    """One column of the plan's table, and what it is in ours: a column, or made of several."""

    column: Column
    ours: str | Callable[[Columns], np.ndarray]


def _same(columns: Columns, value) -> np.ndarray:
    return np.full(len(columns["task_id"]), value)


def _source_minus_host(columns: Columns) -> np.ndarray:
    return mag_from_flux(columns["source_flux_r_nmgy"]) - columns["host_mag_r"]


def _per_band(pattern: str, unit: str, ours: str, meaning: str) -> tuple[Theirs, ...]:
    return tuple(
        Theirs(Column(pattern.format(b=b), _f8, unit, f"{meaning}, {b} band"), ours.format(b=b))
        for b in BANDS
    )


THEIRS = (
    Theirs(Column("task_id", _str, "", "the row"), "task_id"),
    Theirs(
        Column("pair_id", _str, "", "rows on one host with one source; not in the plan"), "pair_id"
    ),
    Theirs(Column("kind", _str, "", "kind of row; not in the plan"), "kind"),
    Theirs(Column("brickname", _str, "", "Legacy Surveys brick"), "brick"),
    Theirs(Column("ra", _f8, "deg", "of the host, ICRS"), "ra_deg"),
    Theirs(Column("dec", _f8, "deg", "of the host, ICRS"), "dec_deg"),
    Theirs(Column("stamp_size", _i4, "pix", "side of the images"), "size_pix"),
    Theirs(
        Column("bandset", _str, "", "bands of stamp_npz"),
        lambda c: _same(c, "".join(BANDS)).astype(object),
    ),
    Theirs(
        Column("is_control", _i4, "", "0 for a lens, 1 for every other kind"),
        lambda c: (c["label"] == 0).astype(np.int32),
    ),
    Theirs(Column("theta_e_arcsec", _f8, "arcsec", "Einstein radius"), "theta_E_arcsec"),
    Theirs(
        Column("src_dmag", _f8, "mag", "source, not magnified, minus host, r as observed"),
        _source_minus_host,
    ),
    Theirs(
        Column("src_reff_arcsec", _f8, "arcsec", "half-light radius of the source, not lensed"),
        "source_hlr_arcsec",
    ),
    Theirs(
        Column("src_e", _f8, "", "ellipticity of a Sersic source; NaN, a template has its own"),
        lambda c: _same(c, np.nan),
    ),
    Theirs(
        Column("shear", _f8, "", "strength of the external shear"),
        lambda c: np.hypot(c["gamma1"], c["gamma2"]),
    ),
    Theirs(Column("lens_model", _str, "", "SIE"), lambda c: _same(c, "SIE").astype(object)),
    Theirs(
        Column("lens_e", _f8, "", "(1-q)/(1+q) of the mass"),
        lambda c: (1 - c["lens_q"]) / (1 + c["lens_q"]),
    ),
    *_per_band("psfsize_{b}", "arcsec", "psf_fwhm_{b}_arcsec", "PSF FWHM"),
    *_per_band("psfdepth_{b}", "mag", "psf_depth_{b}_mag", "5 sigma point source, AB"),
    Theirs(Column("ebv", _f8, "mag", "Milky Way E(B-V), SFD98 scale"), "ebv_mag"),
    Theirs(
        Column("magnification", _f8, "", "lensed over unlensed flux of the pair's source"),
        "magnification",
    ),
    Theirs(Column("arc_snr", _f8, "", "matched S/N of the added light, all bands"), "arc_snr"),
    Theirs(
        Column("cutout_ok", _i4, "", "1: rows that are not are in the set's quarantine"),
        lambda c: _same(c, 1).astype(np.int32),
    ),
    Theirs(Column("cosmos_index", _i4, "", "row of the source bank"), "template_index"),
    Theirs(
        Column("cosmos_hlr_arcsec", _f8, "arcsec", "half-light radius of the source, not lensed"),
        "source_hlr_arcsec",
    ),
)
"""Columns that our own columns tell; the bank tells source_mode, the pixels stamp_npz."""

PLAN_LAYOUT = (
    *(theirs.column for theirs in THEIRS),
    Column("source_mode", _str, "", "cosmos, survey, hybrid or sersic: where the template is from"),
    Column("stamp_npz", pa.binary(), "nmgy", ".npz of image_g, image_r, image_z, float32 (y, x)"),
)
"""The plan's table but for region_split, which its folders name."""


def plan_columns(columns: Columns, bank: Bank | None) -> dict[str, np.ndarray]:
    """The plan's columns of some rows, without pixels.

    bank : the set's, which knows where each template is from; without it made templates are known
        by their names, and others taken for COSMOS galaxies
    """
    made = {
        theirs.column.name: columns[theirs.ours]
        if isinstance(theirs.ours, str)
        else theirs.ours(columns)
        for theirs in THEIRS
    }
    if bank is None:
        modes = [_by_name(str(name)) for name in columns["template_id"]]
    else:
        modes = bank.columns["source"][columns["template_index"]]
    return made | {"source_mode": np.array(modes, object)}


def _by_name(template_id: str) -> str:
    word = template_id.partition("-")[0]
    return word if word in {"hybrid", "sersic"} else "cosmos"
