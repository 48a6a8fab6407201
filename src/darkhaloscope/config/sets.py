"""Settings of stamp sets: plan, injection, validation, export."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import model_validator

from darkhaloscope.config.stage import Stage, setting

Axis = tuple[float, ...] | None

GRID_AXES = {
    "grid_theta_E_arcsec": (0.05, 10.0),
    "grid_delta_mag": (-5.0, 10.0),
    "grid_r_e_arcsec": (0.01, 2.0),
    "grid_ellipticity": (0.0, 0.6),
    "grid_shear": (0.0, 0.3),
}
"""Axes of a grid of lenses, with the least and the largest value of each."""


class Plan(Stage):
    """`dhs plan`: which source goes behind which galaxy, every random number frozen."""

    seed: Annotated[int, setting("keys every random choice", ge=0)] = 1
    cosmos_salt: Annotated[str, setting("changes which template a row draws")] = ""
    mode: Annotated[
        Literal["population", "grid"],
        setting("lenses and sources as the sky has them, or cells of a grid of parameters"),
    ] = "population"
    tier: Annotated[
        Literal["debug", "grid", "train"],
        setting(
            "train: every host; debug: a few hosts, to be looked at; grid: a few hosts, each with "
            "every cell of the grid"
        ),
    ] = "train"
    tier_hosts: Annotated[int, setting("hosts of the tiers debug and grid", ge=1)] = 48
    pairs_per_host: Annotated[
        int, setting("replicates: sources drawn per host (tier grid: per host and cell)", ge=1)
    ] = 1
    stamp_size_pix: Annotated[
        int | None, setting("side of a stamp, pix; if absent the cutout's own", ge=32, le=512)
    ] = None
    rows_per_part: Annotated[int, setting("rows in one output file, about", ge=6)] = 5000

    host_fraction: Annotated[
        float, setting("share of lenses with their host alone beside them", ge=0, le=1)
    ] = 1.0
    unlensed_fraction: Annotated[
        float, setting("share with the same source beside them, not lensed", ge=0, le=1)
    ] = 1.0
    ring_fraction: Annotated[
        float, setting("share with the same light in a ring of the host's own", ge=0, le=1)
    ] = 0.5
    companion_fraction: Annotated[
        float, setting("share with the same light in galaxies around the host", ge=0, le=1)
    ] = 0.5
    spiral_fraction: Annotated[
        float, setting("share with the same light in spiral arms", ge=0, le=1)
    ] = 0.25

    host_weighting: Annotated[
        Literal["cross_section", "equal"],
        setting(
            "hosts bring pairs as often as they would lens, pairs_per_host on average over the "
            "survey's luminous red galaxies, or all as many; mode population, tier train"
        ),
    ] = "cross_section"
    sigma_v_scatter_dex: Annotated[
        float, setting("scatter of log10 velocity dispersion at a luminosity", ge=0, le=0.3)
    ] = 0.07
    theta_E_min_arcsec: Annotated[float, setting("smallest Einstein radius", gt=0)] = 0.75
    theta_E_max_arcsec: Annotated[float, setting("largest Einstein radius", gt=0, le=10)] = 3.0
    shear_sigma: Annotated[float, setting("scatter of gamma1 and gamma2", ge=0, le=0.3)] = 0.05
    q_scatter: Annotated[float, setting("scatter of mass q about light q", ge=0, le=1)] = 0.10
    phi_scatter_deg: Annotated[float, setting("scatter of mass angle, deg", ge=0)] = 10.0
    z_source_median: Annotated[float, setting("median source redshift", ge=0.5, le=4)] = 1.85
    z_source_scatter: Annotated[float, setting("scatter of source redshift", ge=0)] = 0.72
    source_mag_r_median: Annotated[float, setting("median unlensed source r, AB mag")] = 24.2
    source_mag_r_scatter: Annotated[float, setting("its scatter, mag", ge=0)] = 1.0
    size_factor_median: Annotated[
        float, setting("source size over template size: farther, fainter, smaller", gt=0)
    ] = 0.75
    size_factor_scatter: Annotated[float, setting("scatter of ln(size factor)", ge=0)] = 0.35
    min_magnification: Annotated[float, setting("lowest total magnification", ge=1)] = 3.0
    min_arc_snr: Annotated[
        float,
        setting("lowest matched S/N of an arc, all bands, as foreseen from PSF and noise", ge=0),
    ] = 10.0
    arc_mag_r_min: Annotated[float, setting("brightest total arc, r AB mag")] = 20.0
    arc_mag_r_max: Annotated[float, setting("faintest total arc, r AB mag")] = 23.0
    min_arc_minus_host_mag: Annotated[
        float, setting("brightest arc relative to its host, r mag; negative outshines it")
    ] = 0.0
    bulge_redder: Annotated[
        float, setting("spectral types by which a bulge is redder than its disc", ge=0, le=3)
    ] = 1.0
    source_mag_model: Annotated[
        Literal["population", "catalogue"],
        setting(
            "source r from source_mag_r_median and scatter, or the template's own magnitude "
            "carried to the source's redshift, where it is known"
        ),
    ] = "population"
    colour_model: Annotated[
        Literal["catalogue", "template", "offsets"],
        setting(
            "spectral type fitted to the template's catalogue magnitudes (where it has none: as "
            "template), drawn as galaxies at these redshifts have it, or the plan's fixed offsets"
        ),
    ] = "catalogue"

    grid: Annotated[
        Literal["small", "medium", "full", "sota"], setting("named grid, see docs/plans.md")
    ] = "medium"
    grid_theta_E_arcsec: Annotated[Axis, setting("Einstein radii in place of the grid's")] = None
    grid_delta_mag: Annotated[Axis, setting("magnitudes in place of the grid's")] = None
    grid_r_e_arcsec: Annotated[Axis, setting("source radii in place of the grid's")] = None
    grid_ellipticity: Annotated[Axis, setting("(1-q)/(1+q) in place of the grid's")] = None
    grid_shear: Annotated[Axis, setting("shear strengths in place of the grid's")] = None
    grid_delta_mag_of: Annotated[
        Literal["arc", "source"],
        setting(
            "what is so much fainter than its host, r mag: the whole arc, or, as in the plan, the "
            "source before magnification, whose arcs outshine their hosts"
        ),
    ] = "arc"

    @property
    def controls(self) -> dict[str, float]:
        """Kinds of rows beside the lens, and the share of lenses that each stands beside."""
        end = "_fraction"
        return {
            name.removesuffix(end): getattr(self, name)
            for name in type(self).model_fields
            if name.endswith(end)
        }

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        for low, high in (
            ("theta_E_min_arcsec", "theta_E_max_arcsec"),
            ("arc_mag_r_min", "arc_mag_r_max"),
        ):
            if getattr(self, low) >= getattr(self, high):
                came = f"{getattr(self, low)} and {getattr(self, high)}"
                raise ValueError(f"{low} must be below {high}, got {came}")
        return self

    @model_validator(mode="after")
    def _axes(self) -> Self:
        axes = {name: getattr(self, name) for name in GRID_AXES}
        if self.mode != "grid":
            if given := [name for name, values in axes.items() if values is not None]:
                raise ValueError(f"{', '.join(given)}: only a plan of mode grid has them")
            if self.tier == "grid":
                raise ValueError("tier grid needs mode grid; set --mode grid, or another tier")
        for name, (low, high) in GRID_AXES.items():
            values = axes[name]
            if values is not None and (not values or not all(low <= v <= high for v in values)):
                raise ValueError(f"{name} must be values from {low} to {high}, got {values}")
        return self


class Inject(Stage):
    """`dhs inject`: how light is put on the sky."""

    psf_model: Annotated[
        Literal["moffat", "gaussian", "image"],
        setting("shape of the PSF, of the cutout's FWHM and ellipticity; or the cutout's image"),
    ] = "moffat"
    moffat_beta: Annotated[float, setting("wing slope of the Moffat PSF", gt=1.1, le=20)] = 3.5
    psf_includes_pixel: Annotated[
        bool, setting("PSF FWHMs are of effective PSFs, as the survey's are")
    ] = True
    render_tolerance: Annotated[
        float,
        setting("rendering error aimed at, worst pixel over peak of the arc", ge=1e-6, le=0.02),
    ] = 1e-3
    photon_noise: Annotated[bool, setting("Poisson noise of the added light")] = True
    min_usable_fraction: Annotated[
        float, setting("the run fails if fewer of a kind's planned rows are usable", ge=0, le=1)
    ] = 0.9

    NOT_OF_THE_RESULT: ClassVar = {"min_usable_fraction"}


class Validate(Stage):
    """`dhs validate`: how many rows the slower looks take."""

    sample_pairs: Annotated[
        int, setting("pairs that distributions and probes are taken from, about", ge=20)
    ] = 2500
    replay_rows: Annotated[int, setting("rows rendered again from their columns", ge=1)] = 60
    lenstronomy_rows: Annotated[
        int, setting("lenses held against lenstronomy, where that is installed", ge=1)
    ] = 8
    sheet_pairs: Annotated[int, setting("pairs shown in a contact sheet", ge=1, le=60)] = 12
    score_threshold: Annotated[
        float, setting("with scores: a lens is recovered from this score upwards")
    ] = 0.5


class Export(Stage):
    """`dhs export`: a stamp set in the form that others read."""

    layout: Annotated[
        Literal["plan", "webdataset", "fits"],
        setting("the plan's Parquet table, tar shards for training, or FITS; see docs/export.md"),
    ] = "plan"
    task_id: Annotated[
        tuple[str, ...], setting("these rows only; layout fits then writes one file a row")
    ] = ()
    npz_compressed: Annotated[
        bool, setting("layout plan: deflate stamp_npz; far slower, and noise stays as large")
    ] = False
    rows_per_shard: Annotated[int, setting("layout webdataset: most rows in one shard", ge=1)] = (
        1000
    )
    shuffle_rows: Annotated[
        int,
        setting(
            "layout webdataset: rows shuffled together, and held in memory by each process (a "
            "stamp of 64 pixels takes 49 kB); a whole part at least",
            ge=1,
        ),
    ] = 8000
    seed: Annotated[int, setting("layout webdataset: keys the order of rows", ge=0)] = 1
