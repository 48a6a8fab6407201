"""What a training looked like, epoch by epoch: a line on the terminal, a CSV, TensorBoard."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from darkhaloscope.errors import DhsError
from darkhaloscope.io.files import whole
from darkhaloscope.jobs.progress import console
from darkhaloscope.learn.validation import Validation

CURVES = "curves.csv"
_TENSORBOARD_DIR = "tensorboard"

Numbers = Mapping[str, float]


def numbers(
    found: Validation, *, epoch: int, step: int, lr: float, loss: float, rows_per_s: float
) -> dict[str, float]:
    """One row of the CSV."""
    aucs = {f"val_auc_{kind}": of.value for kind, of in found.aucs.items()}
    return {
        "epoch": epoch,
        "step": step,
        "lr": lr,
        "train_loss": loss,
        "val_loss": found.loss,
        "val_mean_recall": found.mean_recall,
        "val_max_fpr": found.max_fpr,
        **aucs,
        "val_saturated": found.saturated,
        "val_distinct": found.distinct,
        "rows_per_s": rows_per_s,
    }


def say(row: Numbers, found: Validation, better: bool) -> None:
    """The epoch's line."""
    aucs = ", ".join(f"{kind} {of.value:.3f}" for kind, of in found.aucs.items())
    console.print(
        f"epoch {row['epoch']:>3.0f}  loss {row['train_loss']:.4f}, validation {found.loss:.4f}; "
        f"recall at FPR < {found.max_fpr:.2g} {found.mean_recall:.3f}{' *' if better else ''}; "
        f"AUC {aucs}; {row['rows_per_s']:.0f} rows/s"
    )
    if found.saturated > 0.5 or found.distinct < 0.5:
        console.print(
            f"  [yellow]scores saturate[/]: {found.saturated:.0%} of validation scores lie within "
            f"1e-4 of 0 or 1, {1 - found.distinct:.0%} equal others; low false-positive rates "
            "cannot be told apart there"
        )


def write_csv(folder: Path, history: Sequence[Numbers]) -> None:
    """All epochs so far; the file is replaced."""
    with whole(folder / CURVES) as temporary, temporary.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(dict.fromkeys(k for row in history for k in row)))
        writer.writeheader()
        writer.writerows(history)


class Board:
    """TensorBoard's event files; steps that a killed run had written beyond its state are purged.

    Raises DhsError if TensorBoard is not installed
    """

    def __init__(self, folder: Path, step: int):
        try:
            from torch.utils.tensorboard.writer import SummaryWriter
        except ImportError as error:
            raise DhsError(
                "TensorBoard is not installed; pip install 'darkhaloscope[learn]'"
            ) from error
        self._writer = SummaryWriter(str(folder / _TENSORBOARD_DIR), purge_step=step)

    def add(self, row: Numbers) -> None:
        for name, value in row.items():
            if name not in ("epoch", "step"):
                self._writer.add_scalar(name.replace("_", "/", 1), value, int(row["step"]))
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
