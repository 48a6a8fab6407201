"""Every column once: name, type, unit, meaning.

The Parquet writers, the gates and ``docs/schema.md`` are built from these lists.
"""

from dataclasses import dataclass

import pyarrow as pa

from darkhaloscope.units import BANDS

KINDS = ("lens", "host", "unlensed", "ring", "companion", "spiral")
"""A lens, and what may stand beside it on the same host: the host alone, and the lens's light
otherwise arranged."""

GRADES = ("A", "B", "C", "none")
"""Of a grader, the best first: surely a lens, probably, possibly, not."""


@dataclass(frozen=True)
class Column:
    """One column of a table; no column of any table is ever null."""

    name: str
    dtype: pa.DataType
    unit: str
    meaning: str


def _per_band(pattern: str, dtype: pa.DataType, unit: str, meaning: str):
    return tuple(
        Column(pattern.format(b=band), dtype, unit, f"{meaning}, {band} band") for band in BANDS
    )


_f8, _i4, _i8, _str, _bin = pa.float64(), pa.int32(), pa.int64(), pa.string(), pa.binary()

HOST_KINDS = (
    "luminous",
    "ring",
    "spiral",
    "merger",
    "companions",
    "edge_on",
    "spike",
    "ghost",
)
"""A luminous galaxy that may become a lens, or what is taken for a lens and is none."""

HOST = (
    Column("host_id", _str, "", "name of the host galaxy; unique in a table"),
    Column(
        "host_kind",
        _str,
        "",
        f"what stands at the centre: {', '.join(HOST_KINDS)}; of anchors their class, also lens "
        "and artefact",
    ),
    Column("ra_deg", _f8, "deg", "right ascension of the host, ICRS"),
    Column("dec_deg", _f8, "deg", "declination of the host, ICRS"),
    Column("brick", _str, "", "Legacy Surveys brick, 'synthetic' on the synthetic sky"),
    Column("telescope", _str, "", "decam, 90prime-mosaic or synthetic"),
    Column("split", _str, "", "train, val or test; by sky pixel, so a host is in one only"),
    Column("pixel_scale_arcsec", _f8, "arcsec", "side of a pixel"),
    Column("ebv_mag", _f8, "mag", "Milky Way E(B-V), SFD98 scale, applied to added light"),
    *_per_band("psf_fwhm_{b}_arcsec", _f8, "arcsec", "FWHM of the effective PSF; NaN if not known"),
    *_per_band("psf_e1_{b}", _f8, "", "PSF ellipticity (1-q)/(1+q) along the axes, + along x"),
    *_per_band("psf_e2_{b}", _f8, "", "PSF ellipticity along the diagonals, + along x = y"),
    *_per_band("psf_depth_{b}_mag", _f8, "mag", "5 sigma point source, AB; NaN if not known"),
    *_per_band("nexp_{b}", _i4, "", "exposures in the coadd, which set the gain; 0 if not known"),
    *_per_band("sky_sigma_{b}_nmgy", _f8, "nmgy", "sky noise of one pixel, from the pixels (MAD)"),
    *_per_band("host_mag_{b}", _f8, "mag", "AB magnitude of the host as seen, NaN if not known"),
    Column("host_center_x_arcsec", _f8, "arcsec", "host centre from the stamp centre, +x = column"),
    Column("host_center_y_arcsec", _f8, "arcsec", "host centre from the stamp centre, +y = row"),
    Column("host_r_e_arcsec", _f8, "arcsec", "half-light radius of the host, NaN if not known"),
    Column("host_q", _f8, "", "minor/major axis of the host's light"),
    Column("host_phi_rad", _f8, "rad", "position angle of the host's light from +x"),
    Column("host_flags", _i8, "bits", "causes for this cutout, see flags.py"),
)

_bool = pa.bool_()
_host = {c.name: c for c in HOST}
_ONE = ("psf_fwhm_{b}_arcsec", "psf_depth_{b}_mag", "nexp_{b}", "host_mag_{b}")

PARENT = (
    *(_host[name] for name in ("host_id", "ra_deg", "dec_deg", "brick", "telescope")),
    Column("release", _i4, "", "of the catalogue, such as 10000; -1 if not known"),
    Column("healpix", _i8, "", "sky pixel, nested, of the nside in the run record"),
    _host["split"],
    Column("type", _str, "", "the catalogue's model: PSF, REX, EXP, DEV, COMP or SER"),
    _host["ebv_mag"],
    *(_host[pattern.format(b=band)] for pattern in _ONE for band in BANDS),
    Column("host_mag_w1", _f8, "mag", "AB, WISE W1 as seen; NaN if not known"),
    _host["host_r_e_arcsec"],
    Column("sersic_n", _f8, "", "Sersic index of the host; NaN if not known"),
    _host["host_q"],
    _host["host_phi_rad"],
    Column(
        "maskbits_center",
        _i4,
        "bits",
        "the catalogue's maskbits, at the object's centre; 0 if not known",
    ),
    Column("is_desi_lrg", _bool, "", "DESI luminous red galaxy, see survey/selections.py"),
    Column("is_plan", _bool, "", "the plan's own selection"),
    Column("is_massive", _bool, "", "massive early type, SLACS-like hosts among them"),
    _host["host_flags"],
)
PARENT_QUARANTINE = (*PARENT, Column("cause", _str, "", "the flags in words"))

PIXELS = (
    Column("size_pix", _i4, "pix", "side of the square images"),
    Column("image", _bin, "nmgy", "float32 little-endian (band, y, x)"),
    Column("invvar", _bin, "nmgy^-2", "inverse variance, float32 little-endian (band, y, x)"),
    Column("maskbits", _bin, "bits", "Legacy Surveys maskbits, int32 little-endian (y, x)"),
)

PSF_IMAGE = (
    Column("psf_size_pix", _i4, "pix", "side of the PSF images, 0 if none are known"),
    Column("psf_image", _bin, "", "PSF of unit flux, float32 little-endian (band, y, x), or empty"),
)

CUTOUTS = (*HOST, *PIXELS, *PSF_IMAGE)

SCENE = (
    Column("task_id", _str, "", "pair_id-kind; the key of every random number of the row"),
    Column("pair_id", _str, "", "host_id-replicate; ties the rows on one host with one source"),
    Column(
        "kind",
        _str,
        "",
        "lens; host (nothing added); unlensed (the source, not lensed); ring, companion, spiral "
        "(the lens's light so arranged)",
    ),
    Column("label", _i4, "", "1 for kind lens, else 0"),
    Column("part", _i4, "", "which file of the stamp set holds the row"),
    Column("grid_cell", _i4, "", "cell of the plan's grid, -1 where there is none"),
    Column(
        "z_lens", _f8, "", "redshift of the lens; of a made one, from its colours and brightness"
    ),
    Column("sigma_v_kms", _f8, "km/s", "velocity dispersion of the lens, isothermal"),
    Column(
        "theta_E_arcsec", _f8, "arcsec", "Einstein radius; critical curve encloses pi theta_E^2"
    ),
    Column("lens_q", _f8, "", "minor/major axis of the mass"),
    Column("lens_phi_rad", _f8, "rad", "position angle of the mass from +x"),
    Column("lens_center_x_arcsec", _f8, "arcsec", "mass centre from the stamp centre"),
    Column("lens_center_y_arcsec", _f8, "arcsec", "mass centre from the stamp centre"),
    Column("gamma1", _f8, "", "external shear"),
    Column("gamma2", _f8, "", "external shear"),
    Column("template_index", _i4, "", "row of the source bank"),
    Column("template_id", _str, "", "name of the template in its catalogue"),
    Column("z_source", _f8, "", "redshift of the source; of a made one, it sets its colours"),
    Column("source_x_arcsec", _f8, "arcsec", "source (a control: its image) from the mass centre"),
    Column("source_y_arcsec", _f8, "arcsec", "source (a control: its image) from the mass centre"),
    Column("source_phi_rad", _f8, "rad", "rotation of the template"),
    Column("source_hlr_arcsec", _f8, "arcsec", "half-light radius of the source before lensing"),
    Column("source_type", _f8, "", "spectral type: 0 Im, 1 Scd, 2 Sbc, 3 elliptical, < 0 bluer"),
    Column("source_mag_r", _f8, "mag", "AB, before magnification and Milky Way reddening"),
    Column("source_g_minus_r", _f8, "mag", "colour before Milky Way reddening"),
    Column("source_r_minus_z", _f8, "mag", "colour before Milky Way reddening"),
    *_per_band("bulge_fraction_{b}", _f8, "", "share of the source's light in its bulge"),
    *_per_band(
        "source_flux_{b}_nmgy", _f8, "nmgy", "observed flux of the source without magnification"
    ),
    Column("magnification", _f8, "", "lensed over unlensed flux of the pair's source"),
)

_OF_PLAN = ("host_id", "split")
PLAN = (*(c for c in HOST if c.name in _OF_PLAN), *SCENE)

RENDERED = (
    Column("psf_model", _str, "", "moffat, gaussian or image"),
    Column("moffat_beta", _f8, "", "wing slope of the Moffat PSF"),
    Column("psf_includes_pixel", pa.bool_(), "", "the PSF already holds the pixel response"),
    Column("render_tolerance", _f8, "", "rendering error aimed at, worst pixel over peak"),
    Column("photon_noise", pa.bool_(), "", "the added light brought its Poisson noise"),
    *_per_band("electrons_per_nmgy_{b}", _f8, "e-/nmgy", "gain of the coadd"),
    *_per_band("arc_flux_{b}_nmgy", _f8, "nmgy", "noise-free light added inside the stamp"),
    *_per_band("arc_snr_{b}", _f8, "", "matched S/N of the added light, sqrt(sum f^2 invvar)"),
    Column("arc_snr", _f8, "", "matched S/N of the added light, all bands"),
    Column("flux_inside", _f8, "", "expected flux that fell inside the stamp, r band; 1 if none"),
    Column("flags", _i8, "bits", "causes for this row, see flags.py"),
    Column("cause", _str, "", "the flags in words"),
)

STAMPS = (*HOST, *SCENE, *RENDERED, PIXELS[0], PIXELS[1], *PSF_IMAGE)

BLOBS = {c.name for c in (*PIXELS, *PSF_IMAGE) if c.dtype == _bin}
"""Columns of pixels, which tables of many rows are read without."""

QUARANTINE = tuple(column for column in STAMPS if column.name not in BLOBS)
CUTOUT_QUARANTINE = (
    *HOST,
    Column("cause", _str, "", "the flags in words"),
    Column("detail", _str, "", "what was met: a file, an answer, an exception"),
)

_scene = {c.name: c for c in SCENE}
ANCHORS = (
    *PARENT,
    Column("name", _str, "", "designation, the most precise that a catalogue has"),
    Column(
        "anchor_class", _str, "", "lens, or what a hard negative is: ring, spiral, artefact, ..."
    ),
    *(_scene[name] for name in ("label", "theta_E_arcsec", "z_lens", "z_source")),
    Column("arc_mag_g", _f8, "mag", "AB, all of the arcs; NaN if not known"),
    Column("reference", _str, "", "where it was published, '; ' between references"),
    Column("catalogues", _str, "", "whose entries agree on it, '; ' between them"),
    Column("name_says", _str, "", "whether the name agrees with the position, or has none in it"),
    Column(
        "name_off_arcsec", _f8, "arcsec", "from the box that the name tells; NaN if it tells none"
    ),
    Column("name_step_arcsec", _f8, "arcsec", "side of that box: how precisely the name tells"),
    Column(
        "separation_arcsec", _f8, "arcsec", "to another catalogue's entry; NaN if there is none"
    ),
)
ANCHORS_QUARANTINE = (*ANCHORS, *CUTOUT_QUARANTINE[-2:])
ANCHORS_SEEN = (
    *ANCHORS,
    Column("center_off_arcsec", _f8, "arcsec", "from the position to the nearest source of light"),
    Column("center_mag_r", _f8, "mag", "AB, of that source within 2 arcsec; NaN if there is none"),
    Column("center_mag_r_bright", _f8, "mag", "AB, the brightest that it may be"),
    Column("center_mag_r_faint", _f8, "mag", "AB, the faintest that it may be"),
    Column("visible", _str, "", "from the ground: yes, perhaps, no, not known"),
    Column("visible_reason", _str, "", "why, in words"),
    Column("theta_over_seeing", _f8, "", "Einstein radius over the r seeing; NaN if not known"),
    Column("arc_snr_g_low", _f8, "", "S/N of the arcs in g if they are faint; NaN if not known"),
    Column("arc_snr_g_high", _f8, "", "S/N of the arcs in g if they are bright; NaN if not known"),
    *CUTOUT_QUARANTINE[-2:],
)
"""Every anchor of a table, after its cutout was looked at; an empty cause passes."""

TABLES = {
    "parent": PARENT,
    "parent, quarantine": PARENT_QUARANTINE,
    "anchors": ANCHORS,
    "anchors, quarantine": ANCHORS_QUARANTINE,
    "anchors, seen": ANCHORS_SEEN,
    "cutouts": CUTOUTS,
    "cutouts, quarantine": CUTOUT_QUARANTINE,
    "plan": PLAN,
    "stamps": STAMPS,
    "quarantine": QUARANTINE,
}


def arrow_schema(columns: tuple[Column, ...], metadata: dict[str, str] | None = None) -> pa.Schema:
    """The Parquet schema of a table; units and meanings travel in the field metadata."""
    fields = [
        pa.field(c.name, c.dtype, False, {"unit": c.unit, "meaning": c.meaning}) for c in columns
    ]
    return pa.schema(fields, metadata=metadata)


def band_columns(pattern: str) -> list[str]:
    """Column names of one quantity in band order: ``band_columns("nexp_{b}")``."""
    return [pattern.format(b=band) for band in BANDS]


def markdown() -> str:
    """``docs/schema.md``."""
    lines = ["# Schema", "", "Generated by `make docs` from `schema.py`; do not edit.", ""]
    for table, columns in TABLES.items():
        lines += [f"## {table}", "", "| column | type | unit | meaning |", "|---|---|---|---|"]
        lines += [f"| `{c.name}` | {c.dtype} | {c.unit} | {c.meaning} |" for c in columns]
        lines.append("")
    return "\n".join(lines)
