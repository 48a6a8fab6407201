"""Where a training stands, whole, so that a killed one goes on as if it had not been."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from darkhaloscope.errors import DhsError
from darkhaloscope.io.files import whole
from darkhaloscope.learn.source import Place

STATE = "state.pt"


@dataclass
class State:
    """Of one process; nets and optimiser are kept beside it.

    places : of each process's stream; best, waited : best validation, and epochs since
    loss, seconds : sums over the epoch's steps so far
    """

    step: int = 0
    places: list[Place] = field(default_factory=lambda: [Place()])
    best: float = -1.0
    waited: int = 0
    loss: float = 0.0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


def save_state(folder: Path, state: State, tensors: dict[str, Any]) -> None:
    """Replace the state; tensors : state dicts by name."""
    with whole(folder / STATE) as temporary:
        torch.save({"state": asdict(state), "tensors": tensors}, temporary)


def load_state(folder: Path) -> tuple[State, dict[str, Any]] | None:
    """What was saved last; None if nothing was. Raises DhsError if it is damaged"""
    path = folder / STATE
    if not path.exists():
        return None
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        said = found["state"]
        places = [Place(**place) for place in said.pop("places")]
        return State(**said, places=places), found["tensors"]
    except Exception as error:  # torch raises whatever its archive reader meets
        raise DhsError(f"{path} is damaged: {error}; remove it to begin anew") from error
