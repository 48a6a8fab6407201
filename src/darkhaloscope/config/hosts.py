"""Settings of host galaxies: the parent table, cutouts, anchors."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import model_validator

from darkhaloscope.config.stage import PerBand, Split, Splits, Stage, setting
from darkhaloscope.units import SKY_PIXEL_ARCSEC

LookAlike = Literal["ring", "spiral", "merger", "companions", "edge_on", "spike", "ghost"]


class Parent(Splits):
    """`dhs parent`: which galaxies of the catalogue become hosts."""

    selection: Annotated[
        tuple[Literal["desi_lrg", "plan", "massive"], ...],
        setting("a galaxy is taken if any of these holds; see docs/parents.md"),
    ] = ("massive",)
    telescope: Annotated[
        Literal["decam", "90prime-mosaic"], setting("objects of the other one are flagged")
    ] = "decam"
    split_nside: Annotated[
        int, setting("HEALPix nside of the splits: 32 is 1.8 deg, each doubling halves it", ge=1)
    ] = 32
    guard_arcsec: Annotated[
        float,
        setting(
            "hosts so near another split's sky are flagged; must exceed half a stamp's diagonal, "
            "so that no two splits share a pixel",
            ge=0,
        ),
    ] = 30.0
    split_tolerance: Annotated[
        float, setting("largest difference of a split's share of hosts from its fraction", gt=0)
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


class CutoutsSynthetic(Splits):
    """`dhs cutouts synthetic`: luminous galaxies on a made sky with the survey's statistics."""

    n_hosts: Annotated[int, setting("luminous galaxies to make", ge=1)] = 720
    n_look_alikes: Annotated[
        int, setting("cutouts of what is taken for a lens and is none, beside n_hosts", ge=0)
    ] = 0
    look_alike_kinds: Annotated[
        tuple[LookAlike, ...], setting("kinds of look-alikes, in turn", min_length=1)
    ] = ("ring", "spiral", "merger", "companions", "edge_on", "spike", "ghost")
    size_pix: Annotated[int, setting("side of a cutout, pix", ge=32, le=512)] = 64
    neighbours_per_arcmin2: Annotated[
        float, setting("galaxies brighter than r = 23.5 per square arcmin", ge=0, le=200)
    ] = 10.0
    satellites_per_host: Annotated[
        float, setting("mean number of companions within 14 arcsec of a host", ge=0, le=50)
    ] = 2.5
    stars_per_arcmin2: Annotated[
        float, setting("stars brighter than r = 21 per square arcmin", ge=0, le=50)
    ] = 0.9
    noise_lag1: Annotated[
        float, setting("correlation of sky noise between adjacent pixels", ge=0, le=0.25)
    ] = 0.25
    mask_rate: Annotated[
        float, setting("share of cutouts with a line of bad pixels in a band", ge=0, le=1)
    ] = 0.03
    missing_band_rate: Annotated[
        float, setting("share of cutouts that lack a band; they go to quarantine", ge=0, lt=1)
    ] = 0.005


class CutoutsNpz(Stage):
    """`dhs cutouts npz`: cutouts that someone saved as .npz, (y, x, band) g r z in nmgy."""

    psf_fwhm_arcsec: Annotated[
        PerBand | None, setting("g r z FWHM, arcsec; if absent the survey's medians, flagged")
    ] = None
    nexp: Annotated[
        tuple[int, int, int] | None, setting("g r z exposures; if absent 3, flagged")
    ] = None
    ebv_mag: Annotated[float, setting("Milky Way E(B-V), mag", ge=0, le=3)] = 0.047
    split: Annotated[Split | None, setting("put all in one split; if absent, by sky")] = None
    bad_cutouts: Annotated[
        Literal["error", "quarantine"],
        setting("a cutout with NaN or an empty band stops the import, or is kept with its flag"),
    ] = "error"

    @model_validator(mode="after")
    def _positive(self) -> Self:
        for name, values in (("psf_fwhm_arcsec", self.psf_fwhm_arcsec), ("nexp", self.nexp)):
            if values is not None and min(values) <= 0:
                raise ValueError(f"{name} must be positive in every band, got {values}")
        return self


class CutoutsSurvey(Stage):
    """What fetching the survey's own pixels always takes."""

    size_pix: Annotated[int, setting("side of a cutout, pix", ge=32, le=510)] = 64
    timeout_s: Annotated[float, setting("longest wait for an answer, s", gt=0)] = 30.0
    tries: Annotated[int, setting("how often a question is asked", ge=1, le=20)] = 5
    backoff_s: Annotated[
        float, setting("wait before the second try, s; doubles with every further one", ge=0)
    ] = 1.0

    NOT_OF_THE_RESULT: ClassVar = {"timeout_s", "tries", "backoff_s", "requests_per_s"}


class CutoutsBricks(CutoutsSurvey):
    """`dhs cutouts bricks`: sections of the survey's coadds, brick by brick."""

    telescope: Annotated[
        Literal["decam", "90prime-mosaic"],
        setting("bricks of the other telescope are refused: filters and depth differ"),
    ] = "decam"
    hosts_per_part: Annotated[int, setting("hosts in one output file, about", ge=1)] = 1000


class CutoutsService(CutoutsSurvey):
    """`dhs cutouts service`: cutouts and coadd PSFs of the Legacy Surveys viewer."""

    layer: Annotated[
        str,
        setting(
            "imaging layer: ls-dr10-south is DECam everywhere, ls-dr10 only south of Dec 32.375",
            pattern=r"^ls-dr\d+(-south|-north)?$",
        ),
    ] = "ls-dr10-south"
    requests_per_s: Annotated[
        float, setting("most questions a second, three a host: be polite", gt=0, le=100)
    ] = 3.0
    psf_size_pix: Annotated[int, setting("side of the PSF images kept, pix, odd", ge=11, le=63)] = (
        31
    )
    hosts_per_part: Annotated[int, setting("hosts in one output file", ge=1)] = 100

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
        setting(
            "entries so near each other are one lens, and confirm each other; a name may differ "
            "from its position by as much",
            gt=0,
            le=30,
        ),
    ] = 2.0
    curated: Annotated[
        bool,
        setting("the lenses that dhs ships are anchors too; they confirm others in any case"),
    ] = True
    alone: Annotated[
        bool, setting("let entries through that no other catalogue has, such as hard negatives")
    ] = False
    candidates: Annotated[
        bool, setting("let entries through that their catalogue grades probable, or B and below")
    ] = False
    telescope: Annotated[
        Literal["decam", "90prime-mosaic", "both"],
        setting("anchors on the other one's sky, north of Dec 32.375, go to quarantine"),
    ] = "decam"


class AnchorsCutouts(CutoutsService, CutoutsBricks):
    """`dhs anchors cutouts`: the settings of fetching, and what each cutout must show."""

    max_off_arcsec: Annotated[
        float, setting("farthest that the galaxy may be from the anchor's position", gt=0, le=5)
    ] = 1.0
    mag_tolerance: Annotated[
        float, setting("by which it may differ from the catalogue's r, AB mag", gt=0, le=5)
    ] = 1.0
    sheet_cutouts: Annotated[int, setting("cutouts shown of each sort", ge=1, le=400)] = 100

    NOT_OF_THE_RESULT: ClassVar = CutoutsSurvey.NOT_OF_THE_RESULT | {"sheet_cutouts"}
