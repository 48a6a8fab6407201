"""Ensembles and calibrations, fitted to rows that no member was trained on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from scipy.optimize import minimize_scalar

from darkhaloscope.errors import DhsError
from darkhaloscope.jobs.progress import console
from darkhaloscope.learn.judge import (
    CALIBRATED,
    ENSEMBLE,
    Calibrated,
    Method,
    Together,
    load_judge,
    reference,
    save_judge,
)
from darkhaloscope.learn.stored import in_order, index_of
from darkhaloscope.learn.validation import Validation, validation

_KNOTS = 1001
_ASKED_AT_ONCE = 256


def ensemble(
    out: Path,
    members: Sequence[Path],
    stamps: Path,
    split: str,
    method: Method,
    device: torch.device,
) -> Validation:
    """Write an ensemble of judges; how it does on the rows that it was fitted to.

    Raises DhsError for fewer than two members, members of other stamps, or as load_judge does
    """
    if len(members) < 2:
        raise DhsError(f"an ensemble needs at least two members, got {len(members)}")
    judges = [load_judge(path, device) for path in members]
    forms = {(judge.size_pix, round(judge.pixel_scale, 6)) for judge in judges}
    if len(forms) > 1:
        raise DhsError(
            "members were trained on other stamps: "
            + ", ".join(f"{size} pixels of {scale:g} arcsec" for size, scale in sorted(forms))
        )
    logits, kind, host = [], None, None
    for judge in judges:
        logit, kind, host = _on(judge, stamps, split)
        logits.append(logit)
    every = np.stack(logits, axis=1)
    knots = np.quantile(every, np.linspace(0, 1, _KNOTS), axis=0).T
    weights = (
        _learned(every, kind == "lens") if method == "learned" else np.zeros(every.shape[1] + 1)
    )
    together = Together(judges, method, knots, weights)
    save_judge(
        out,
        ENSEMBLE,
        {
            "members": [reference(path, out) for path in members],
            "method": method,
            "knots": knots.tolist(),
            "weights": weights.tolist(),
            "fitted_to": {"stamps": str(stamps), "split": split, "rows": len(every)},
        },
    )
    return _said(f"ensemble {out} ({method})", together.put_together(every), kind, host)


def calibrate(
    out: Path,
    judge_path: Path,
    stamps: Path,
    split: str,
    method: Literal["temperature", "isotonic"],
    device: torch.device,
) -> Validation:
    """Write a judge whose scores are probabilities at the split's share of lenses."""
    judge = load_judge(judge_path, device)
    logit, kind, host = _on(judge, stamps, split)
    lens = kind == "lens"
    if method == "temperature":
        x, y = np.array([_temperature(logit, lens)]), np.array([])
    else:
        x, y = _isotonic(logit, lens)
    fitted = Calibrated(judge, method, x, y)
    save_judge(
        out,
        CALIBRATED,
        {
            "judge": reference(judge_path, out),
            "method": method,
            "x": x.tolist(),
            "y": y.tolist(),
            "fitted_to": {
                "stamps": str(stamps),
                "split": split,
                "rows": len(lens),
                "share_of_lenses": float(lens.mean()),
            },
        },
    )
    return _said(f"calibrated {out} ({method})", fitted.calibrated(logit), kind, host)


def _on(judge, stamps: Path, split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logit, kind and host of a split's rows."""
    index = index_of(stamps, split)
    if index.size != judge.size_pix:
        raise DhsError(
            f"{stamps} holds stamps of {index.size} pixels; the finder was trained on "
            f"{judge.size_pix}"
        )
    logit, kind, host = [], [], []
    for rows in in_order(index, _ASKED_AT_ONCE):
        logit.append(judge.ask(rows).logit)
        kind.append(rows.columns["kind"])
        host.append(rows.columns["host_id"])
    return np.concatenate(logit), np.concatenate(kind), np.concatenate(host)


def _learned(logits: np.ndarray, lens: np.ndarray) -> np.ndarray:
    """(member + 1,), the last added."""
    from sklearn.linear_model import LogisticRegression

    fit = LogisticRegression(C=1.0).fit(logits, lens)
    return np.r_[fit.coef_[0], fit.intercept_]


def _temperature(logit: np.ndarray, lens: np.ndarray) -> float:
    """What logits are divided by for the least cross-entropy. Source: Guo et al. (2017)"""

    def entropy(log_t: float) -> float:
        x = logit / np.exp(log_t)
        return float(np.mean(np.logaddexp(0, x) - lens * x))

    return float(np.exp(minimize_scalar(entropy, bounds=(-5, 5), method="bounded").x))


def _isotonic(logit: np.ndarray, lens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Knots, rising in both."""
    from sklearn.isotonic import IsotonicRegression

    fit = IsotonicRegression(out_of_bounds="clip").fit(logit, lens)
    return fit.X_thresholds_, fit.y_thresholds_


def _said(what: str, logit, kind, host) -> Validation:
    loss = float(np.mean(np.logaddexp(0, logit) - (kind == "lens") * logit))
    found = validation(logit, kind, host, 0.01, loss)
    aucs = ", ".join(f"{name} {of}" for name, of in found.aucs.items())
    console.print(f"{what}: {len(logit)} rows, cross-entropy {loss:.4f}, AUC {aucs}")
    return found
