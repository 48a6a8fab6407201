"""Settings of ablation studies."""

import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import model_validator

from darkhaloscope.config.files import SECTIONS, toml_of
from darkhaloscope.config.stage import Stage, build, setting


class Condition(Stage):
    """One way of making finders: what differs from the study's own settings."""

    bank: Annotated[str | None, setting("source bank, in place of the study's")] = None
    seeds: Annotated[tuple[int, ...] | None, setting("in place of the study's seeds")] = None
    plan: Annotated[dict[str, Any], setting("settings of [plan] that differ", default_factory=dict)]
    inject: Annotated[
        dict[str, Any], setting("settings of [inject] that differ", default_factory=dict)
    ]
    train: Annotated[
        dict[str, Any], setting("settings of [train] that differ", default_factory=dict)
    ]


class Study(Stage):
    """`dhs ablate`: conditions on shared hosts, each trained with several seeds."""

    cutouts: Annotated[str, setting("cutout store whose hosts and negatives all share")]
    bank: Annotated[str, setting("source bank")]
    anchors: Annotated[str | None, setting("cutouts of real lenses, of `dhs anchors`")] = None
    seeds: Annotated[tuple[int, ...], setting("training seeds, at least three")] = (1, 2, 3)
    fpr: Annotated[
        tuple[float, ...], setting("false-positive rates at which recall is compared")
    ] = (1e-2, 1e-3)
    resamples: Annotated[int, setting("of hosts, for bootstrap intervals", ge=100)] = 1000
    ensemble: Annotated[
        bool, setting("judge all conditions' finders together as well, their scores averaged")
    ] = True
    plan: Annotated[dict[str, Any], setting("settings of [plan]", default_factory=dict)]
    inject: Annotated[dict[str, Any], setting("settings of [inject]", default_factory=dict)]
    train: Annotated[dict[str, Any], setting("settings of [train]", default_factory=dict)]
    NOT_OF_THE_RESULT: ClassVar = {"fpr", "resamples", "ensemble"}

    conditions: Annotated[
        dict[str, Condition], setting("by name; the others are compared with the first")
    ]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if len(self.conditions) < 2:
            raise ValueError(f"conditions must be two or more, got {len(self.conditions)}")
        if not all(0 < fpr < 1 for fpr in self.fpr) or not self.fpr:
            raise ValueError(f"fpr must be values between 0 and 1, got {self.fpr}")
        for name, condition in self.conditions.items():
            seeds = self.seeds_of(name)
            unlike = len(set(seeds)) == len(seeds) and min(seeds, default=-1) >= 0
            if not unlike or len(seeds) < 3 or len(seeds) != len(self.seeds):
                raise ValueError(
                    f"conditions.{name} needs three or more different seeds, none negative, as "
                    f"many as the study; got {seeds}: redrawing one recipe moves recall by points"
                )
            if not _NAME.fullmatch(name) or name == ENSEMBLE:
                raise ValueError(
                    f"a condition is named by letters, digits, - and _, and not '{ENSEMBLE}'; got "
                    f"{name!r}"
                )
            for stage in ("plan", "inject", "train"):
                self.stage_of(stage, name)
            if self._size(name) != self._size(next(iter(self.conditions))):
                raise ValueError(
                    f"conditions.{name} has stamps of another size than the first; a finder is "
                    "asked of the first's, so stamp_size_pix must be one for all"
                )
            if "seed" in self.train | condition.train:
                raise ValueError("seed of [train] comes from seeds; leave it out")
        return self

    def _size(self, name: str) -> Any:
        return self.stage_of("plan", name).stamp_size_pix

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
    return build(Study, toml_of(path), str(path))
