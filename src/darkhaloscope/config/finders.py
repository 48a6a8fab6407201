"""Settings of finders: what they see, training, judging, grading."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import field_validator, model_validator

from darkhaloscope.config.stage import Split, Stage, hint, setting
from darkhaloscope.units import BANDS

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
        tuple[Literal["g", "r", "z"], ...], setting("bands shown, in this order", min_length=1)
    ] = BANDS
    difference: Annotated[
        Difference,
        setting(
            "one more channel, g - k z at one PSF, with k fitted to the core of each stamp or to "
            "all of it"
        ),
    ] = "none"
    norm_method: Annotated[
        Literal["outer", "sky", "fixed"],
        setting(
            "unit of a band's pixels: the noise of its outer annulus, whose median is taken off; "
            "the noise that the column sky_sigma tells; or the survey's usual noise"
        ),
    ] = "outer"
    stretch: Annotated[
        Literal["asinh", "sqrt", "linear"], setting("of pixels in that unit; nothing is clipped")
    ] = "asinh"
    softening: Annotated[
        float, setting("where asinh and sqrt turn from linear, in units of noise", gt=0)
    ] = 3.0
    meta_cols: Annotated[
        tuple[str, ...],
        setting(f"columns shown beside the pixels, commas between: {', '.join(META)}"),
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
                + hint(unknown[0], META)
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
        setting("network; the mini ones are for machines without a GPU"),
    ] = "convnext_tiny"
    pretrained: Annotated[
        str | None,
        setting(
            "weights to start from: a folder in the form of the transformers library, or a name "
            "on its hub; for other bands than three its first layer is averaged over colours"
        ),
    ] = None
    epochs: Annotated[int, setting("most passes over the training rows", ge=1)] = 50
    batch_size: Annotated[int, setting("rows in a step, over all processes", ge=2)] = 256
    lr: Annotated[float, setting("highest learning rate", gt=0, le=1)] = 3e-4
    weight_decay: Annotated[float, setting("AdamW's, of weights but not of biases", ge=0)] = 0.05
    warmup_epochs: Annotated[float, setting("epochs over which lr rises from 0", ge=0)] = 1.0
    ema_decay: Annotated[
        float, setting("of the running mean of weights that is judged and kept", ge=0, lt=1)
    ] = 0.999
    clip_norm: Annotated[float, setting("longest gradient; longer ones are cut", gt=0)] = 1.0
    dropout: Annotated[
        float, setting("share of blocks left out at random (stochastic depth)", ge=0, lt=1)
    ] = 0.1
    use_bf16: Annotated[bool, setting("compute in bfloat16 where that is safe")] = False
    loss: Annotated[Literal["focal", "bce"], setting("focal, or binary cross-entropy")] = "focal"
    focal_alpha: Annotated[float, setting("weight of lenses in it", gt=0, lt=1)] = 0.25
    focal_gamma: Annotated[float, setting("how much rows count less that are sure", ge=0)] = 2.0
    augment: Annotated[
        bool, setting("turn, mirror, shift, blur and roughen every stamp anew each time")
    ] = True
    shift_pix: Annotated[int, setting("farthest shift by whole pixels, each axis", ge=0, le=8)] = 2
    subpixel: Annotated[bool, setting("shift by up to half a pixel more")] = True
    noise_jitter: Annotated[
        float, setting("most noise added, of the sky's; chosen anew each time", ge=0, le=2)
    ] = 0.3
    psf_jitter: Annotated[
        float, setting("most by which a PSF is widened, of its FWHM", ge=0, le=1)
    ] = 0.05
    min_theta_over_psf: Annotated[
        float,
        setting("pairs with a smaller Einstein radius over r seeing are left out, whole", ge=0),
    ] = 0.5
    most_pairs: Annotated[
        int,
        setting("train on so many pairs, chosen by their names; 0 takes all; source stored", ge=0),
    ] = 0
    early_stopping_patience: Annotated[
        int, setting("epochs without a better validation before it ends; 0 never ends", ge=0)
    ] = 5
    early_stopping_fpr: Annotated[
        float,
        setting("validation is the mean recall up to this false-positive rate", gt=0, le=1),
    ] = 0.01
    shuffle_rows: Annotated[
        int,
        setting(
            "rows shuffled together, and held in memory twice (a stamp of 64 pixels: 49 kB)", ge=2
        ),
    ] = 4096
    source: Annotated[
        Literal["stored", "fly"],
        setting("the set's stamps, or new lenses and controls every epoch, as its plan says"),
    ] = "stored"
    save_every_s: Annotated[
        float, setting("how often the state is saved from which a killed run goes on, s", gt=0)
    ] = 60.0
    seed: Annotated[int, setting("keys every random choice", ge=0)] = 1

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
        float, setting("share of known lenses among all that is shown", ge=0, le=0.4)
    ] = 0.1
    blank_share: Annotated[
        float, setting("share of plain galaxies without arcs, likewise", ge=0, le=0.4)
    ] = 0.1
    match_arcsec: Annotated[
        float, setting("an object this near a listed lens is that lens", gt=0, le=30)
    ] = 3.0
    size_pix: Annotated[
        int | None, setting("side of every picture, pix; if absent the smallest cutout's", ge=16)
    ] = None
    seed: Annotated[int, setting("keys the choice of controls and every grader's order", ge=0)] = 1


class Evaluate(Stage):
    """`dhs evaluate`: what is claimed of a finder, and on which rows."""

    score_threshold: Annotated[
        float, setting("score from which a finder says lens, at its own word", ge=0, le=1)
    ] = 0.5
    fpr: Annotated[
        tuple[float, ...],
        setting("false-positive rates at which recall is told, where negatives can show them"),
    ] = (1e-2, 1e-3, 1e-4, 1e-5)
    partial_fpr: Annotated[
        float, setting("partial AUC: mean recall up to this false-positive rate", gt=0, le=1)
    ] = 0.01
    choose_on: Annotated[Split, setting("split whose negatives the thresholds are chosen on")] = (
        "val"
    )
    report_on: Annotated[Split, setting("split that all else is told of")] = "test"
    prevalence: Annotated[
        tuple[float, ...], setting("lenses among a survey's galaxies, for purity")
    ] = (1e-3, 1e-4, 1e-5)
    resamples: Annotated[int, setting("of hosts, for bootstrap intervals", ge=100)] = 1000
    sheet_rows: Annotated[int, setting("pictures in a sheet, at most", ge=1, le=200)] = 40

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
