"""One frozen model a stage: the only home of a default.

A TOML file fills the models, the command line's flags are built from them, and their JSON goes
into every file made with them. Unknown keys and impossible values fail before any work.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from darkhaloscope.errors import DhsError
from darkhaloscope.keys import digest_of
from darkhaloscope.units import BANDS, SKY_PIXEL_ARCSEC


def _setting(description: str, **limits: Any) -> Any:
    return Field(description=description, **limits)


Split = Literal["train", "val", "test"]
PerBand = tuple[float, float, float]
Axis = tuple[float, ...] | None
LookAlike = Literal["ring", "spiral", "merger", "companions", "edge_on", "spike", "ghost"]


GRID_AXES = {
    "grid_theta_E_arcsec": (0.05, 10.0),
    "grid_delta_mag": (-5.0, 10.0),
    "grid_r_e_arcsec": (0.01, 2.0),
    "grid_ellipticity": (0.0, 0.6),
    "grid_shear": (0.0, 0.3),
}
"""Axes of a grid of lenses, with the least and the largest value of each."""


class Stage(BaseModel):
    """Settings of one verb. Frozen, closed, and with a digest."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    NOT_OF_THE_RESULT: ClassVar[set[str]] = set()
    """Settings that judge a result, or say how patiently it is made; no byte depends on them."""

    def digest(self) -> str:
        """Same settings, same digest."""
        return digest_of(type(self).__name__, self.as_json())

    def as_json(self) -> str:
        return json.dumps(self.model_dump(mode="json"), sort_keys=True)

    def identity(self) -> str:
        """The settings that the result depends on, as JSON."""
        kept = self.model_dump(mode="json", exclude=self.NOT_OF_THE_RESULT)
        return json.dumps(kept, sort_keys=True)


S = TypeVar("S", bound=Stage)


class Splits(Stage):
    """What keeps train, val and test apart."""

    split_fractions: Annotated[
        tuple[float, float, float], _setting("train, val and test share")
    ] = (0.7, 0.15, 0.15)
    seed: Annotated[int, _setting("keys every random choice", ge=0)] = 1

    @model_validator(mode="after")
    def _fractions_add_up(self) -> Self:
        if min(self.split_fractions) < 0 or abs(sum(self.split_fractions) - 1) > 1e-9:
            raise ValueError(
                f"split_fractions must be >= 0 and sum to 1, got {self.split_fractions}"
            )
        return self


class Parent(Splits):
    """`dhs parent`: which galaxies of the catalogue become hosts."""

    selection: Annotated[
        tuple[Literal["desi_lrg", "plan", "massive"], ...],
        _setting("a galaxy is taken if any of these holds; see docs/parents.md"),
    ] = ("massive",)
    telescope: Annotated[
        Literal["decam", "90prime-mosaic"], _setting("objects of the other one are flagged")
    ] = "decam"
    split_nside: Annotated[
        int, _setting("HEALPix nside of the splits: 32 is 1.8 deg, each doubling halves it", ge=1)
    ] = 32
    guard_arcsec: Annotated[
        float,
        _setting(
            "hosts so near another split's sky are flagged; must exceed half a stamp's diagonal, "
            "so that no two splits share a pixel",
            ge=0,
        ),
    ] = 30.0
    split_tolerance: Annotated[
        float, _setting("largest difference of a split's share of hosts from its fraction", gt=0)
    ] = 0.05

    NOT_OF_THE_RESULT: ClassVar = {"split_tolerance"}

    @model_validator(mode="after")
    def _power_of_two(self) -> Self:
        if self.split_nside & (self.split_nside - 1) or self.split_nside > 8192:
            raise ValueError(
                f"split_nside must be a power of two up to 8192, got {self.split_nside}"
            )
        side = SKY_PIXEL_ARCSEC / self.split_nside
        if 4 * self.guard_arcsec > side:
            raise ValueError(
                f"guard_arcsec = {self.guard_arcsec:g} must be at most a quarter of a sky pixel's "
                f"side, {side:.0f} arcsec at split_nside {self.split_nside}; lower either"
            )
        if not self.selection:
            raise ValueError("selection must name at least one of desi_lrg, plan, massive")
        return self


class BankMerge(Splits):
    """`dhs bank merge`: one bank of several, split anew."""


class Bank(Splits):
    """What every source bank has."""

    stamp_size: Annotated[int, _setting("side of a template, pix", ge=32, le=512)] = 128
    src_pixscale_arcsec: Annotated[
        float, _setting("side of a template pixel, arcsec", gt=0, le=0.3)
    ] = 0.03
    intrinsic_psf_fwhm_arcsec: Annotated[
        float, _setting("Gaussian FWHM left in every template, arcsec", gt=0, le=1)
    ] = 0.15
    dtype: Annotated[
        Literal["float32", "float16"],
        _setting("of the stored pixels; float16 halves the file, its error is printed"),
    ] = "float32"

    @model_validator(mode="after")
    def _psf_is_sampled(self) -> Self:
        if self.intrinsic_psf_fwhm_arcsec < 2 * self.src_pixscale_arcsec:
            raise ValueError(
                f"src_pixscale_arcsec = {self.src_pixscale_arcsec:g} does not sample a PSF of "
                f"intrinsic_psf_fwhm_arcsec = {self.intrinsic_psf_fwhm_arcsec:g}: at least two "
                "pixels a FWHM are needed; make the pixels smaller or the PSF wider"
            )
        return self


class Cuts(Stage):
    """Which galaxies that were cut out of their noise are kept."""

    n_sources: Annotated[int, _setting("templates wanted; 0 takes all that survive", ge=0)] = 0
    min_hlr_arcsec: Annotated[float, _setting("smallest half-light radius kept", gt=0)] = 0.1
    max_hlr_arcsec: Annotated[float, _setting("largest half-light radius kept", gt=0)] = 1.0
    min_snr: Annotated[float, _setting("lowest S/N kept, within the mask", ge=0)] = 20.0
    max_pedestal_fraction: Annotated[
        float, _setting("largest pedestal subtracted, of the flux", gt=0, le=1)
    ] = 0.3
    max_mag_difference: Annotated[
        float, _setting("of what was cut out and the catalogue's magnitude", gt=0)
    ] = 0.8

    @model_validator(mode="after")
    def _hlr_range(self) -> Self:
        if self.min_hlr_arcsec >= self.max_hlr_arcsec:
            raise ValueError(
                "min_hlr_arcsec must be below max_hlr_arcsec, "
                f"got {self.min_hlr_arcsec} and {self.max_hlr_arcsec}"
            )
        return self


class BankCosmos(Cuts, Bank):
    """`dhs bank cosmos`: real HST galaxies from a GalSim RealGalaxyCatalog."""

    exclusion_level: Annotated[
        Literal["none", "bad_stamp", "bad_fits", "marginal"],
        _setting("which flags of GalSim's COSMOSCatalog turn a galaxy away, where it has them"),
    ] = "marginal"
    sample: Annotated[
        Literal["23.5", "25.2"] | None,
        _setting("COSMOS sample wanted, where a folder holds several"),
    ] = None


class BankSurvey(Cuts, Bank):
    """`dhs bank survey`: galaxies of deep ground images, each given with PSF and segmentation."""

    stamp_size: Annotated[int, _setting("side of a template, pix", ge=32, le=512)] = 96
    src_pixscale_arcsec: Annotated[
        float, _setting("side of a template pixel, arcsec", gt=0, le=0.3)
    ] = 0.1
    intrinsic_psf_fwhm_arcsec: Annotated[
        float, _setting("Gaussian FWHM left in templates, arcsec; at least the images'", gt=0, le=3)
    ] = 0.8
    max_hlr_arcsec: Annotated[float, _setting("largest half-light radius kept", gt=0)] = 2.0


class BankSersic(Bank):
    """`dhs bank sersic`: smooth galaxies, the baseline that clumps are compared with."""

    n_sources: Annotated[int, _setting("templates to make", ge=1)] = 400
    hlr_median_arcsec: Annotated[float, _setting("median half-light radius", gt=0.05, lt=1)] = 0.36
    hlr_scatter: Annotated[float, _setting("scatter of ln(radius)", ge=0, le=1)] = 0.35
    index_min: Annotated[float, _setting("smallest Sersic index", ge=0.5, le=6)] = 0.5
    index_max: Annotated[float, _setting("largest Sersic index", ge=0.5, le=6)] = 2.5
    q_min: Annotated[float, _setting("smallest axis ratio", gt=0.1, le=1)] = 0.3

    @model_validator(mode="after")
    def _index_range(self) -> Self:
        if self.index_min > self.index_max:
            raise ValueError(
                f"index_min must not exceed index_max, got {self.index_min} and {self.index_max}"
            )
        return self


class BankHybrid(Bank):
    """`dhs bank hybrid`: Sersic discs with star-forming clumps, no download needed."""

    n_sources: Annotated[int, _setting("templates to make", ge=1)] = 400
    hlr_median_arcsec: Annotated[float, _setting("median half-light radius", gt=0.05, lt=1)] = 0.36
    hlr_scatter: Annotated[float, _setting("scatter of ln(radius)", ge=0, le=1)] = 0.35
    clump_count_mean: Annotated[float, _setting("mean number of clumps (Poisson)", ge=0)] = 7.0
    clump_flux_fraction_max: Annotated[
        float, _setting("clumps hold a uniform 0 to this fraction of the flux", ge=0, lt=1)
    ] = 0.5
    clump_sigma_arcsec: Annotated[
        tuple[float, float],
        _setting("range of the clumps' Gaussian widths, at a half-light radius of 0.3 arcsec"),
    ] = (0.02, 0.07)
    bulge_colours: Annotated[
        bool, _setting("store bulges apart, so that they are redder than their discs")
    ] = True
    clump_reach_hlr: Annotated[
        float, _setting("no clump lies beyond so many half-light radii", gt=0.5, le=10)
    ] = 2.2
    arm_probability: Annotated[float, _setting("share with spiral arms", ge=0, le=1)] = 0.4
    arm_strength_max: Annotated[
        float, _setting("strongest arms, of the disc's brightness", ge=0, le=1)
    ] = 0.6

    @model_validator(mode="after")
    def _clump_range(self) -> Self:
        low, high = self.clump_sigma_arcsec
        if not 0 < low <= high:
            raise ValueError(f"clump_sigma_arcsec must be two rising widths > 0, got {low}, {high}")
        return self


class CutoutsSynthetic(Splits):
    """`dhs cutouts synthetic`: luminous galaxies on a made sky with the survey's statistics."""

    n_hosts: Annotated[int, _setting("luminous galaxies to make", ge=1)] = 720
    n_look_alikes: Annotated[
        int, _setting("cutouts of what is taken for a lens and is none, beside n_hosts", ge=0)
    ] = 0
    look_alike_kinds: Annotated[
        tuple[LookAlike, ...], _setting("kinds of look-alikes, in turn", min_length=1)
    ] = ("ring", "spiral", "merger", "companions", "edge_on", "spike", "ghost")
    size_pix: Annotated[int, _setting("side of a cutout, pix", ge=32, le=512)] = 64
    neighbours_per_arcmin2: Annotated[
        float, _setting("galaxies brighter than r = 23.5 per square arcmin", ge=0, le=200)
    ] = 10.0
    satellites_per_host: Annotated[
        float, _setting("mean number of companions within 14 arcsec of a host", ge=0, le=50)
    ] = 2.5
    stars_per_arcmin2: Annotated[
        float, _setting("stars brighter than r = 21 per square arcmin", ge=0, le=50)
    ] = 0.9
    noise_lag1: Annotated[
        float, _setting("correlation of sky noise between adjacent pixels", ge=0, le=0.25)
    ] = 0.25
    mask_rate: Annotated[
        float, _setting("share of cutouts with a line of bad pixels in a band", ge=0, le=1)
    ] = 0.03
    missing_band_rate: Annotated[
        float, _setting("share of cutouts that lack a band; they go to quarantine", ge=0, lt=1)
    ] = 0.005


class CutoutsNpz(Stage):
    """`dhs cutouts npz`: cutouts that someone saved as .npz, (y, x, band) g r z in nmgy."""

    psf_fwhm_arcsec: Annotated[
        PerBand | None, _setting("g r z FWHM, arcsec; if absent the survey's medians, flagged")
    ] = None
    nexp: Annotated[
        tuple[int, int, int] | None, _setting("g r z exposures; if absent 3, flagged")
    ] = None
    ebv_mag: Annotated[float, _setting("Milky Way E(B-V), mag", ge=0, le=3)] = 0.047
    split: Annotated[Split | None, _setting("put all in one split; if absent, by sky")] = None
    bad_cutouts: Annotated[
        Literal["error", "quarantine"],
        _setting("a cutout with NaN or an empty band stops the import, or is kept with its flag"),
    ] = "error"

    @model_validator(mode="after")
    def _positive(self) -> Self:
        for name, values in (("psf_fwhm_arcsec", self.psf_fwhm_arcsec), ("nexp", self.nexp)):
            if values is not None and min(values) <= 0:
                raise ValueError(f"{name} must be positive in every band, got {values}")
        return self


class CutoutsSurvey(Stage):
    """What fetching the survey's own pixels always takes."""

    size_pix: Annotated[int, _setting("side of a cutout, pix", ge=32, le=510)] = 64
    timeout_s: Annotated[float, _setting("longest wait for an answer, s", gt=0)] = 30.0
    tries: Annotated[int, _setting("how often a question is asked", ge=1, le=20)] = 5
    backoff_s: Annotated[
        float, _setting("wait before the second try, s; doubles with every further one", ge=0)
    ] = 1.0

    NOT_OF_THE_RESULT: ClassVar = {"timeout_s", "tries", "backoff_s", "requests_per_s"}


class CutoutsBricks(CutoutsSurvey):
    """`dhs cutouts bricks`: sections of the survey's coadds, brick by brick."""

    telescope: Annotated[
        Literal["decam", "90prime-mosaic"],
        _setting("bricks of the other telescope are refused: filters and depth differ"),
    ] = "decam"
    hosts_per_part: Annotated[int, _setting("hosts in one output file, about", ge=1)] = 1000


class CutoutsService(CutoutsSurvey):
    """`dhs cutouts service`: cutouts and coadd PSFs of the Legacy Surveys viewer."""

    layer: Annotated[
        str,
        _setting(
            "imaging layer: ls-dr10-south is DECam everywhere, ls-dr10 only south of Dec 32.375",
            pattern=r"^ls-dr\d+(-south|-north)?$",
        ),
    ] = "ls-dr10-south"
    requests_per_s: Annotated[
        float, _setting("most questions a second, three a host: be polite", gt=0, le=100)
    ] = 3.0
    psf_size_pix: Annotated[
        int, _setting("side of the PSF images kept, pix, odd", ge=11, le=63)
    ] = 31
    hosts_per_part: Annotated[int, _setting("hosts in one output file", ge=1)] = 100

    @model_validator(mode="after")
    def _odd_psf(self) -> Self:
        if self.psf_size_pix % 2 == 0:
            raise ValueError(f"psf_size_pix must be odd, to have a middle; got {self.psf_size_pix}")
        return self


AnchorClass = Literal[
    "lens", "ring", "spiral", "merger", "companions", "edge_on", "spike", "ghost", "artefact"
]


class AnchorsBuild(Stage):
    """`dhs anchors build`: what an entry of a catalogue must pass to be an anchor."""

    match_arcsec: Annotated[
        float,
        _setting(
            "entries so near each other are one lens, and confirm each other; a name may differ "
            "from its position by as much",
            gt=0,
            le=30,
        ),
    ] = 2.0
    curated: Annotated[
        bool,
        _setting("the lenses that dhs ships are anchors too; they confirm others in any case"),
    ] = True
    alone: Annotated[
        bool, _setting("let entries through that no other catalogue has, such as hard negatives")
    ] = False
    candidates: Annotated[
        bool, _setting("let entries through that their catalogue grades probable, or B and below")
    ] = False
    telescope: Annotated[
        Literal["decam", "90prime-mosaic", "both"],
        _setting("anchors on the other one's sky, north of Dec 32.375, go to quarantine"),
    ] = "decam"


class AnchorsCutouts(CutoutsService, CutoutsBricks):
    """`dhs anchors cutouts`: the settings of fetching, and what each cutout must show."""

    max_off_arcsec: Annotated[
        float, _setting("farthest that the galaxy may be from the anchor's position", gt=0, le=5)
    ] = 1.0
    mag_tolerance: Annotated[
        float, _setting("by which it may differ from the catalogue's r, AB mag", gt=0, le=5)
    ] = 1.0
    sheet_cutouts: Annotated[int, _setting("cutouts shown of each sort", ge=1, le=400)] = 100

    NOT_OF_THE_RESULT: ClassVar = CutoutsSurvey.NOT_OF_THE_RESULT | {"sheet_cutouts"}


class Plan(Stage):
    """`dhs plan`: which source goes behind which galaxy, every random number frozen."""

    seed: Annotated[int, _setting("keys every random choice", ge=0)] = 1
    cosmos_salt: Annotated[str, _setting("changes which template a row draws")] = ""
    mode: Annotated[
        Literal["population", "grid"],
        _setting("lenses and sources as the sky has them, or cells of a grid of parameters"),
    ] = "population"
    tier: Annotated[
        Literal["debug", "grid", "train"],
        _setting(
            "train: every host; debug: a few hosts, to be looked at; grid: a few hosts, each with "
            "every cell of the grid"
        ),
    ] = "train"
    tier_hosts: Annotated[int, _setting("hosts of the tiers debug and grid", ge=1)] = 48
    pairs_per_host: Annotated[
        int, _setting("replicates: sources drawn per host (tier grid: per host and cell)", ge=1)
    ] = 1
    stamp_size_pix: Annotated[
        int | None, _setting("side of a stamp, pix; if absent the cutout's own", ge=32, le=512)
    ] = None
    rows_per_part: Annotated[int, _setting("rows in one output file, about", ge=6)] = 5000

    host_fraction: Annotated[
        float, _setting("share of lenses with their host alone beside them", ge=0, le=1)
    ] = 1.0
    unlensed_fraction: Annotated[
        float, _setting("share with the same source beside them, not lensed", ge=0, le=1)
    ] = 1.0
    ring_fraction: Annotated[
        float, _setting("share with the same light in a ring of the host's own", ge=0, le=1)
    ] = 0.5
    companion_fraction: Annotated[
        float, _setting("share with the same light in galaxies around the host", ge=0, le=1)
    ] = 0.5
    spiral_fraction: Annotated[
        float, _setting("share with the same light in spiral arms", ge=0, le=1)
    ] = 0.25

    host_weighting: Annotated[
        Literal["cross_section", "equal"],
        _setting(
            "hosts bring pairs as often as they would lens, pairs_per_host on average over the "
            "survey's luminous red galaxies, or all as many; mode population, tier train"
        ),
    ] = "cross_section"
    sigma_v_scatter_dex: Annotated[
        float, _setting("scatter of log10 velocity dispersion at a luminosity", ge=0, le=0.3)
    ] = 0.07
    theta_E_min_arcsec: Annotated[float, _setting("smallest Einstein radius", gt=0)] = 0.75
    theta_E_max_arcsec: Annotated[float, _setting("largest Einstein radius", gt=0, le=10)] = 3.0
    shear_sigma: Annotated[float, _setting("scatter of gamma1 and gamma2", ge=0, le=0.3)] = 0.05
    q_scatter: Annotated[float, _setting("scatter of mass q about light q", ge=0, le=1)] = 0.10
    phi_scatter_deg: Annotated[float, _setting("scatter of mass angle, deg", ge=0)] = 10.0
    z_source_median: Annotated[float, _setting("median source redshift", ge=0.5, le=4)] = 1.85
    z_source_scatter: Annotated[float, _setting("scatter of source redshift", ge=0)] = 0.72
    source_mag_r_median: Annotated[float, _setting("median unlensed source r, AB mag")] = 24.2
    source_mag_r_scatter: Annotated[float, _setting("its scatter, mag", ge=0)] = 1.0
    size_factor_median: Annotated[
        float, _setting("source size over template size: farther, fainter, smaller", gt=0)
    ] = 0.75
    size_factor_scatter: Annotated[float, _setting("scatter of ln(size factor)", ge=0)] = 0.35
    min_magnification: Annotated[float, _setting("lowest total magnification", ge=1)] = 3.0
    min_arc_snr: Annotated[
        float,
        _setting("lowest matched S/N of an arc, all bands, as foreseen from PSF and noise", ge=0),
    ] = 10.0
    arc_mag_r_min: Annotated[float, _setting("brightest total arc, r AB mag")] = 20.0
    arc_mag_r_max: Annotated[float, _setting("faintest total arc, r AB mag")] = 23.0
    min_arc_minus_host_mag: Annotated[
        float, _setting("brightest arc relative to its host, r mag; negative outshines it")
    ] = 0.0
    bulge_redder: Annotated[
        float, _setting("spectral types by which a bulge is redder than its disc", ge=0, le=3)
    ] = 1.0
    source_mag_model: Annotated[
        Literal["population", "catalogue"],
        _setting(
            "source r from source_mag_r_median and scatter, or the template's own magnitude "
            "carried to the source's redshift, where it is known"
        ),
    ] = "population"
    colour_model: Annotated[
        Literal["catalogue", "template", "offsets"],
        _setting(
            "spectral type fitted to the template's catalogue magnitudes (where it has none: as "
            "template), drawn as galaxies at these redshifts have it, or the plan's fixed offsets"
        ),
    ] = "catalogue"

    grid: Annotated[
        Literal["small", "medium", "full", "sota"], _setting("named grid, see docs/plans.md")
    ] = "medium"
    grid_theta_E_arcsec: Annotated[Axis, _setting("Einstein radii in place of the grid's")] = None
    grid_delta_mag: Annotated[Axis, _setting("magnitudes in place of the grid's")] = None
    grid_r_e_arcsec: Annotated[Axis, _setting("source radii in place of the grid's")] = None
    grid_ellipticity: Annotated[Axis, _setting("(1-q)/(1+q) in place of the grid's")] = None
    grid_shear: Annotated[Axis, _setting("shear strengths in place of the grid's")] = None
    grid_delta_mag_of: Annotated[
        Literal["arc", "source"],
        _setting(
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
        _setting("shape of the PSF, of the cutout's FWHM and ellipticity; or the cutout's image"),
    ] = "moffat"
    moffat_beta: Annotated[float, _setting("wing slope of the Moffat PSF", gt=1.1, le=20)] = 3.5
    psf_includes_pixel: Annotated[
        bool, _setting("PSF FWHMs are of effective PSFs, as the survey's are")
    ] = True
    render_tolerance: Annotated[
        float,
        _setting("rendering error aimed at, worst pixel over peak of the arc", ge=1e-6, le=0.02),
    ] = 1e-3
    photon_noise: Annotated[bool, _setting("Poisson noise of the added light")] = True
    min_usable_fraction: Annotated[
        float, _setting("the run fails if fewer of a kind's planned rows are usable", ge=0, le=1)
    ] = 0.9

    NOT_OF_THE_RESULT: ClassVar = {"min_usable_fraction"}


class Validate(Stage):
    """`dhs validate`: how many rows the slower looks take."""

    sample_pairs: Annotated[
        int, _setting("pairs that distributions and probes are taken from, about", ge=20)
    ] = 2500
    replay_rows: Annotated[int, _setting("rows rendered again from their columns", ge=1)] = 60
    lenstronomy_rows: Annotated[
        int, _setting("lenses held against lenstronomy, where that is installed", ge=1)
    ] = 8
    sheet_pairs: Annotated[int, _setting("pairs shown in a contact sheet", ge=1, le=60)] = 12
    score_threshold: Annotated[
        float, _setting("with scores: a lens is recovered from this score upwards")
    ] = 0.5


class Export(Stage):
    """`dhs export`: a stamp set in the form that others read."""

    layout: Annotated[
        Literal["plan", "webdataset", "fits"],
        _setting("the plan's Parquet table, tar shards for training, or FITS; see docs/export.md"),
    ] = "plan"
    task_id: Annotated[
        tuple[str, ...], _setting("these rows only; layout fits then writes one file a row")
    ] = ()
    npz_compressed: Annotated[
        bool, _setting("layout plan: deflate stamp_npz; far slower, and noise stays as large")
    ] = False
    rows_per_shard: Annotated[int, _setting("layout webdataset: most rows in one shard", ge=1)] = (
        1000
    )
    shuffle_rows: Annotated[
        int,
        _setting(
            "layout webdataset: rows shuffled together, and held in memory by each process (a "
            "stamp of 64 pixels takes 49 kB); a whole part at least",
            ge=1,
        ),
    ] = 8000
    seed: Annotated[int, _setting("layout webdataset: keys the order of rows", ge=0)] = 1


Difference = Literal["none", "core", "global"]
META = {
    **{f"psfsize_{band}": f"psf_fwhm_{band}_arcsec" for band in BANDS},
    **{f"psfdepth_{band}": f"psf_depth_{band}_mag" for band in BANDS},
    "ebv": "ebv_mag",
}
"""Columns that a network may be told of beside the pixels: the survey's names, and ours."""


class View(Stage):
    """How a stamp becomes what a network sees; stored in every checkpoint."""

    bands: Annotated[
        tuple[Literal["g", "r", "z"], ...], _setting("bands shown, in this order", min_length=1)
    ] = BANDS
    difference: Annotated[
        Difference,
        _setting(
            "one more channel, g - k z at one PSF, with k fitted to the core of each stamp or to "
            "all of it"
        ),
    ] = "none"
    norm_method: Annotated[
        Literal["outer", "sky", "fixed"],
        _setting(
            "unit of a band's pixels: the noise of its outer annulus, whose median is taken off; "
            "the noise that the column sky_sigma tells; or the survey's usual noise"
        ),
    ] = "outer"
    stretch: Annotated[
        Literal["asinh", "sqrt", "linear"], _setting("of pixels in that unit; nothing is clipped")
    ] = "asinh"
    softening: Annotated[
        float, _setting("where asinh and sqrt turn from linear, in units of noise", gt=0)
    ] = 3.0
    meta_cols: Annotated[
        tuple[str, ...],
        _setting(f"columns shown beside the pixels, commas between: {', '.join(META)}"),
    ] = ()

    @field_validator("meta_cols", mode="before")
    @classmethod
    def _commas(cls, value: Any) -> Any:
        words = [value] if isinstance(value, str) else value
        if not isinstance(words, list | tuple) or not all(isinstance(w, str) for w in words):
            return value
        return tuple(word for some in words for word in some.split(",") if word)

    @model_validator(mode="after")
    def _known(self) -> Self:
        if unknown := [name for name in self.meta_cols if name not in META]:
            raise ValueError(
                f"meta_cols knows {', '.join(META)}; got {', '.join(unknown)}"
                + _hint(unknown[0], META)
            )
        for name, words in (("bands", self.bands), ("meta_cols", self.meta_cols)):
            if len(set(words)) < len(words):
                raise ValueError(f"{name} names something twice: {', '.join(words)}")
        return self

    @property
    def channels(self) -> int:
        return len(self.bands) + (self.difference != "none")


class Train(View):
    """`dhs train`: a finder, from stamps on disk or from lenses made on the fly."""

    arch: Annotated[
        Literal[
            "resnet_mini",
            "convnext_mini",
            "convnext_tiny",
            "convnextv2_atto",
            "convnextv2_nano",
            "convnextv2_tiny",
            "resnet18",
            "efficientnet_v2_s",
        ],
        _setting("network; the mini ones are for machines without a GPU"),
    ] = "convnext_tiny"
    pretrained: Annotated[
        str | None,
        _setting(
            "weights to start from: a folder in the form of the transformers library, or a name "
            "on its hub; for other bands than three its first layer is averaged over colours"
        ),
    ] = None
    epochs: Annotated[int, _setting("most passes over the training rows", ge=1)] = 50
    batch_size: Annotated[int, _setting("rows in a step, over all processes", ge=2)] = 256
    lr: Annotated[float, _setting("highest learning rate", gt=0, le=1)] = 3e-4
    weight_decay: Annotated[float, _setting("AdamW's, of weights but not of biases", ge=0)] = 0.05
    warmup_epochs: Annotated[float, _setting("epochs over which lr rises from 0", ge=0)] = 1.0
    ema_decay: Annotated[
        float, _setting("of the running mean of weights that is judged and kept", ge=0, lt=1)
    ] = 0.999
    clip_norm: Annotated[float, _setting("longest gradient; longer ones are cut", gt=0)] = 1.0
    dropout: Annotated[
        float, _setting("share of blocks left out at random (stochastic depth)", ge=0, lt=1)
    ] = 0.1
    use_bf16: Annotated[bool, _setting("compute in bfloat16 where that is safe")] = False
    loss: Annotated[Literal["focal", "bce"], _setting("focal, or binary cross-entropy")] = "focal"
    focal_alpha: Annotated[float, _setting("weight of lenses in it", gt=0, lt=1)] = 0.25
    focal_gamma: Annotated[float, _setting("how much rows count less that are sure", ge=0)] = 2.0
    augment: Annotated[
        bool, _setting("turn, mirror, shift, blur and roughen every stamp anew each time")
    ] = True
    shift_pix: Annotated[int, _setting("farthest shift by whole pixels, each axis", ge=0, le=8)] = 2
    subpixel: Annotated[bool, _setting("shift by up to half a pixel more")] = True
    noise_jitter: Annotated[
        float, _setting("most noise added, of the sky's; chosen anew each time", ge=0, le=2)
    ] = 0.3
    psf_jitter: Annotated[
        float, _setting("most by which a PSF is widened, of its FWHM", ge=0, le=1)
    ] = 0.05
    min_theta_over_psf: Annotated[
        float,
        _setting("pairs with a smaller Einstein radius over r seeing are left out, whole", ge=0),
    ] = 0.5
    most_pairs: Annotated[
        int,
        _setting("train on so many pairs, chosen by their names; 0 takes all; source stored", ge=0),
    ] = 0
    early_stopping_patience: Annotated[
        int, _setting("epochs without a better validation before it ends; 0 never ends", ge=0)
    ] = 5
    early_stopping_fpr: Annotated[
        float,
        _setting("validation is the mean recall up to this false-positive rate", gt=0, le=1),
    ] = 0.01
    shuffle_rows: Annotated[
        int,
        _setting(
            "rows shuffled together, and held in memory twice (a stamp of 64 pixels: 49 kB)", ge=2
        ),
    ] = 4096
    source: Annotated[
        Literal["stored", "fly"],
        _setting("the set's stamps, or new lenses and controls every epoch, as its plan says"),
    ] = "stored"
    save_every_s: Annotated[
        float, _setting("how often the state is saved from which a killed run goes on, s", gt=0)
    ] = 60.0
    seed: Annotated[int, _setting("keys every random choice", ge=0)] = 1

    NOT_OF_THE_RESULT: ClassVar = {"save_every_s"}

    @model_validator(mode="after")
    def _pairs_of_a_stored_set(self) -> Self:
        if self.most_pairs and self.source == "fly":
            raise ValueError("most_pairs is for source stored: on the fly no pair comes twice")
        return self

    @property
    def view(self) -> View:
        return View(**{name: getattr(self, name) for name in View.model_fields})


class GradeServe(Stage):
    """`dhs grade serve`: what graders see, and how many controls are among it."""

    known_share: Annotated[
        float, _setting("share of known lenses among all that is shown", ge=0, le=0.4)
    ] = 0.1
    blank_share: Annotated[
        float, _setting("share of plain galaxies without arcs, likewise", ge=0, le=0.4)
    ] = 0.1
    match_arcsec: Annotated[
        float, _setting("an object this near a listed lens is that lens", gt=0, le=30)
    ] = 3.0
    size_pix: Annotated[
        int | None, _setting("side of every picture, pix; if absent the smallest cutout's", ge=16)
    ] = None
    seed: Annotated[int, _setting("keys the choice of controls and every grader's order", ge=0)] = 1


class Evaluate(Stage):
    """`dhs evaluate`: what is claimed of a finder, and on which rows."""

    score_threshold: Annotated[
        float, _setting("score from which a finder says lens, at its own word", ge=0, le=1)
    ] = 0.5
    fpr: Annotated[
        tuple[float, ...],
        _setting("false-positive rates at which recall is told, where negatives can show them"),
    ] = (1e-2, 1e-3, 1e-4, 1e-5)
    partial_fpr: Annotated[
        float, _setting("partial AUC: mean recall up to this false-positive rate", gt=0, le=1)
    ] = 0.01
    choose_on: Annotated[Split, _setting("split whose negatives the thresholds are chosen on")] = (
        "val"
    )
    report_on: Annotated[Split, _setting("split that all else is told of")] = "test"
    prevalence: Annotated[
        tuple[float, ...], _setting("lenses among a survey's galaxies, for purity")
    ] = (1e-3, 1e-4, 1e-5)
    resamples: Annotated[int, _setting("of hosts, for bootstrap intervals", ge=100)] = 1000
    sheet_rows: Annotated[int, _setting("pictures in a sheet, at most", ge=1, le=200)] = 40

    @model_validator(mode="after")
    def _rates(self) -> Self:
        for name in ("fpr", "prevalence"):
            values = getattr(self, name)
            if not values or not all(0 < value < 1 for value in values):
                raise ValueError(f"{name} must be values between 0 and 1, got {values}")
        if self.choose_on == self.report_on:
            raise ValueError(
                f"choose_on and report_on must be different splits, got {self.report_on} for both: "
                "a threshold flatters the rows it was chosen on"
            )
        return self


class Condition(Stage):
    """One way of making finders: what differs from the study's own settings."""

    bank: Annotated[str | None, _setting("source bank, in place of the study's")] = None
    seeds: Annotated[tuple[int, ...] | None, _setting("in place of the study's seeds")] = None
    plan: Annotated[dict[str, Any], _setting("settings of [plan] that differ")] = {}
    inject: Annotated[dict[str, Any], _setting("settings of [inject] that differ")] = {}
    train: Annotated[dict[str, Any], _setting("settings of [train] that differ")] = {}


class Study(Stage):
    """`dhs ablate`: conditions on shared hosts, each trained with several seeds."""

    cutouts: Annotated[str, _setting("cutout store whose hosts and negatives all share")]
    bank: Annotated[str, _setting("source bank")]
    anchors: Annotated[str | None, _setting("cutouts of real lenses, of `dhs anchors`")] = None
    seeds: Annotated[tuple[int, ...], _setting("training seeds, at least three")] = (1, 2, 3)
    fpr: Annotated[
        tuple[float, ...], _setting("false-positive rates at which recall is compared")
    ] = (1e-2, 1e-3)
    resamples: Annotated[int, _setting("of hosts, for bootstrap intervals", ge=100)] = 1000
    ensemble: Annotated[
        bool, _setting("judge all conditions' finders together as well, their scores averaged")
    ] = True
    plan: Annotated[dict[str, Any], _setting("settings of [plan]")] = {}
    inject: Annotated[dict[str, Any], _setting("settings of [inject]")] = {}
    train: Annotated[dict[str, Any], _setting("settings of [train]")] = {}
    conditions: Annotated[
        dict[str, Condition], _setting("by name; the others are compared with the first")
    ]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if len(self.conditions) < 2:
            raise ValueError(f"conditions must be two or more, got {len(self.conditions)}")
        if not all(0 < fpr < 1 for fpr in self.fpr) or not self.fpr:
            raise ValueError(f"fpr must be values between 0 and 1, got {self.fpr}")
        for name, condition in self.conditions.items():
            seeds = self.seeds_of(name)
            if len(set(seeds)) < 3 or len(seeds) != len(self.seeds):
                raise ValueError(
                    f"conditions.{name} needs three different seeds or more, as many as the study; "
                    f"got {seeds}: redrawing the same recipe moves recall by points"
                )
            if not _NAME.fullmatch(name) or name == ENSEMBLE:
                raise ValueError(
                    f"a condition is named by letters, digits, - and _, and not '{ENSEMBLE}'; got "
                    f"{name!r}"
                )
            for stage in ("plan", "inject", "train"):
                settings = getattr(self, stage) | getattr(condition, stage)
                build(SECTIONS[stage], settings, f"conditions.{name}, {stage}")
            if "seed" in self.train | condition.train:
                raise ValueError("seed of [train] comes from seeds; leave it out")
        return self

    def seeds_of(self, name: str) -> tuple[int, ...]:
        return self.conditions[name].seeds or self.seeds

    def bank_of(self, name: str) -> str:
        return self.conditions[name].bank or self.bank

    def stage_of(self, stage: str, name: str) -> Any:
        """The settings of plan, inject or train under a condition."""
        settings = getattr(self, stage) | getattr(self.conditions[name], stage)
        return build(SECTIONS[stage], settings, f"conditions.{name}, {stage}")


ENSEMBLE = "ensemble"
_NAME = re.compile(r"[A-Za-z0-9_-]+")


def read_study(path: Path) -> Study:
    """A study's TOML file. Raises DhsError for one that cannot be read, or any bad value"""
    return build(Study, _toml(path), str(path))


SECTIONS: dict[str, type[Stage]] = {
    "parent": Parent,
    "bank.cosmos": BankCosmos,
    "bank.hybrid": BankHybrid,
    "bank.merge": BankMerge,
    "bank.sersic": BankSersic,
    "bank.survey": BankSurvey,
    "cutouts.synthetic": CutoutsSynthetic,
    "cutouts.npz": CutoutsNpz,
    "cutouts.bricks": CutoutsBricks,
    "cutouts.service": CutoutsService,
    "anchors.build": AnchorsBuild,
    "anchors.cutouts": AnchorsCutouts,
    "plan": Plan,
    "inject": Inject,
    "validate": Validate,
    "export": Export,
    "train": Train,
    "grade.serve": GradeServe,
    "evaluate": Evaluate,
}


def read_toml(path: Path) -> dict[str, dict[str, Any]]:
    """Settings by section name, every key of every section checked.

    Raises DhsError for a file that is not TOML, an unknown section or key, or a bad value.
    """
    sections = dict(_flatten(_toml(path)))
    for name, settings in sections.items():
        if name not in SECTIONS:
            raise DhsError(f"{path}: unknown section [{name}]{_hint(name, SECTIONS)}")
        if not isinstance(settings, dict):
            raise DhsError(f"{path}: [{name}] must be a section of settings, got {settings!r}")
        build(SECTIONS[name], settings, f"{path} [{name}]")
    return sections


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DhsError(f"{path}: cannot be read as TOML: {error}") from error


def build(model: type[S], settings: Mapping[str, Any], where: str) -> S:
    """The stage's model from plain settings; every fault is named at once in one DhsError."""
    try:
        return model(**settings)
    except ValidationError as error:
        raise DhsError(explain(error, model, where)) from error


def explain(error: ValidationError, model: type[BaseModel], where: str) -> str:
    """What came, what is allowed, what to do, one line a fault."""
    lines = []
    for fault in error.errors():
        key = ".".join(str(word) for word in fault["loc"])
        if fault["type"] == "extra_forbidden":
            lines.append(f"{where}: unknown key '{key}'{_hint(key, model.model_fields)}")
        elif fault["type"] == "value_error":
            lines.append(f"{where}: {fault.get('ctx', {}).get('error')}")
        else:
            about = model.model_fields[str(fault["loc"][0])].description if fault["loc"] else ""
            allowed = fault["msg"].replace("Input should be", "must be")
            lines.append(f"{where}: {key} {allowed}, got {fault['input']!r} ({about})")
    return "\n".join(lines)


def _flatten(table: dict[str, Any], prefix: str = ""):
    for key, value in table.items():
        name = f"{prefix}{key}"
        if name in SECTIONS or not isinstance(value, dict):
            yield name, value
        elif any(section.startswith(f"{name}.") for section in SECTIONS):
            yield from _flatten(value, f"{name}.")
        else:
            yield name, value


def _hint(word: str, known) -> str:
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    suggestion = f"; did you mean '{near[0]}'?" if near else ""
    return f"{suggestion} (allowed: {', '.join(known)})"
