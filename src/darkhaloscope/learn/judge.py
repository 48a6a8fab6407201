"""Finders that can be asked: one checkpoint, several together, or either calibrated."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch

from darkhaloscope.errors import DhsError
from darkhaloscope.io.files import read_json, sha256, write_json
from darkhaloscope.learn.batch import Batch, Rows, known
from darkhaloscope.learn.checkpoint import CHECKPOINT, Spec, load
from darkhaloscope.learn.nets import Finder
from darkhaloscope.learn.view import look

ENSEMBLE, CALIBRATED = "dhs ensemble", "dhs calibrated"
_MOST_LOGIT = 60.0


@dataclass(frozen=True)
class Asked:
    """logit : (row,) float64; told : further columns, (row,) each"""

    logit: np.ndarray
    told: dict[str, np.ndarray]


class Judge(Protocol):
    """Scores rows. size_pix, pixel_scale : of the stamps that it was trained on, arcsec"""

    @property
    def size_pix(self) -> int: ...

    @property
    def pixel_scale(self) -> float: ...

    def ask(self, rows: Rows, embed: bool = False) -> Asked:
        """embed : tell what the last layer is shown as well; DhsError where there is no one."""
        ...


@dataclass(frozen=True)
class One:
    """A checkpoint."""

    net: Finder
    spec: Spec
    device: torch.device

    @property
    def size_pix(self) -> int:
        return self.spec.size_pix

    @property
    def pixel_scale(self) -> float:
        return self.spec.pixel_scale_arcsec

    @torch.no_grad()
    def ask(self, rows: Rows, embed: bool = False) -> Asked:
        view = self.spec.cfg.view
        known(rows, view)
        seen = look(Batch.of(rows, view, self.device), view, self.spec.scaling)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.spec.cfg.use_bf16):
            shown = self.net.embedded(seen.channels, seen.meta)
            logit = self.net.judged(shown)
        told = {"k_core": seen.k_core, "k_global": seen.k_global}
        if embed:
            told |= {f"embedding_{i}": values for i, values in enumerate(shown.float().T)}
        return Asked(
            logit.double().cpu().numpy(),
            {name: k.double().cpu().numpy() for name, k in told.items() if k is not None},
        )


Method = Literal["mean", "rank", "learned"]


@dataclass(frozen=True)
class Together:
    """Several, their scores put together.

    mean : of probabilities; rank : mean share of held-out controls and lenses that a member puts
    below; learned : logistic regression on logits, fitted to held-out rows
    knots : (member, knot) quantiles of held-out logits; weights : (member + 1,), the last added
    """

    members: Sequence[Judge]
    method: Method
    knots: np.ndarray
    weights: np.ndarray

    @property
    def size_pix(self) -> int:
        return self.members[0].size_pix

    @property
    def pixel_scale(self) -> float:
        return self.members[0].pixel_scale

    def ask(self, rows: Rows, embed: bool = False) -> Asked:
        if embed:
            raise DhsError(
                "an ensemble has no last layer of its own; embed with one of its members"
            )
        found = [member.ask(rows) for member in self.members]
        logits = np.stack([asked.logit for asked in found], axis=1)
        told = {f"logit_{i}": asked.logit for i, asked in enumerate(found)}
        return Asked(self.put_together(logits), told)

    def put_together(self, logits: np.ndarray) -> np.ndarray:
        """(row, member) to (row,)."""
        if self.method == "learned":
            return logits @ self.weights[:-1] + self.weights[-1]
        if self.method == "mean":
            return logit_of(score_of(logits).mean(1))
        at = np.linspace(0, 1, self.knots.shape[1])
        shares = [
            np.interp(values, *_rising(knots, at))
            for values, knots in zip(logits.T, self.knots, strict=True)
        ]
        return logit_of(np.mean(shares, axis=0))


@dataclass(frozen=True)
class Calibrated:
    """A judge whose scores are probabilities, at the share of lenses it was calibrated on.

    method : temperature, logits over `x[0]`; isotonic, scores between the knots x and y
    """

    judge: Judge
    method: Literal["temperature", "isotonic"]
    x: np.ndarray
    y: np.ndarray

    @property
    def size_pix(self) -> int:
        return self.judge.size_pix

    @property
    def pixel_scale(self) -> float:
        return self.judge.pixel_scale

    def ask(self, rows: Rows, embed: bool = False) -> Asked:
        asked = self.judge.ask(rows, embed)
        return Asked(self.calibrated(asked.logit), asked.told | {"logit_before": asked.logit})

    def calibrated(self, logit: np.ndarray) -> np.ndarray:
        if self.method == "temperature":
            return logit / self.x[0]
        return logit_of(np.interp(logit, self.x, self.y))


def score_of(logit: np.ndarray) -> np.ndarray:
    """Probability of a logit."""
    return 1 / (1 + np.exp(-np.clip(logit, -_MOST_LOGIT, _MOST_LOGIT)))


def logit_of(score: np.ndarray) -> np.ndarray:
    """Logit of a probability; 0 and 1 become large numbers."""
    least = 1e-12
    score = np.clip(score, least, 1 - least)
    return np.log(score / (1 - score))


def _rising(knots: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Knots without repeats, and the middle share of those that repeat."""
    unique, place = np.unique(knots, return_inverse=True)
    return unique, np.bincount(place, at) / np.bincount(place)


def load_judge(path: Path, device: torch.device) -> Judge:
    """A checkpoint, an ensemble or a calibrated judge, by its JSON.

    Raises DhsError if it is none, or what it names is missing or altered
    """
    path = path / CHECKPOINT if path.is_dir() else path
    said = read_json(path) if path.exists() else {}
    what = said.get("what") if isinstance(said, dict) else None
    if what == ENSEMBLE:
        members = [_member(path, member, device) for member in said["members"]]
        return Together(members, said["method"], np.array(said["knots"]), np.array(said["weights"]))
    if what == CALIBRATED:
        judge = _member(path, said["judge"], device)
        return Calibrated(judge, said["method"], np.array(said["x"]), np.array(said["y"]))
    net, spec = load(path)
    return One(net.to(device), spec, device)


def _member(path: Path, member: dict[str, str], device: torch.device) -> Judge:
    theirs = path.parent / member["path"]
    if not theirs.exists() or sha256(theirs) != member["sha256"]:
        raise DhsError(
            f"{theirs} is missing, or not the one that {path} was made with; put it back, or make "
            "the ensemble or calibration again"
        )
    return load_judge(theirs, device)


def reference(path: Path, out: Path) -> dict[str, str]:
    """How the file `out` names a judge: from its own folder, and by its bytes."""
    path = path / CHECKPOINT if path.is_dir() else path
    return {"path": os.path.relpath(path, out.parent), "sha256": sha256(path)}


def save_judge(out: Path, what: str, content: dict[str, Any]) -> None:
    """Write the JSON of an ensemble or a calibrated judge."""
    write_json(out, {"what": what, **content})
