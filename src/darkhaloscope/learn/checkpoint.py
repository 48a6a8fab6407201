"""A trained finder on disk: weights as safetensors, and a JSON that says what they are."""

import hashlib
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from darkhaloscope import __version__
from darkhaloscope.config import Train, build
from darkhaloscope.errors import DhsError
from darkhaloscope.io.files import read_json, sha256, whole, write_json
from darkhaloscope.learn.nets import Finder, build_net
from darkhaloscope.learn.view import Scaling

CHECKPOINT = "checkpoint.json"
_WHAT = "dhs checkpoint"


@dataclass(frozen=True)
class Spec:
    """What a finder must be shown, and what it was made from."""

    cfg: Train
    scaling: Scaling
    size_pix: int
    pixel_scale_arcsec: float
    made_from: Mapping[str, str]
    validation: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """Of the view: the pixels that it is shown and how."""
        return self.cfg.view.digest()


def save(folder: Path, net: nn.Module, spec: Spec) -> None:
    """Replace the folder's checkpoint; the JSON is written last and is the commit."""
    state = {name: values.detach().cpu().contiguous() for name, values in net.state_dict().items()}
    data = safetensors.torch.save(state)
    digest = hashlib.sha256(data).hexdigest()
    name = f"weights-{digest[:12]}.safetensors"
    with whole(folder / name) as temporary:
        temporary.write_bytes(data)
    write_json(
        folder / CHECKPOINT,
        {
            "what": _WHAT,
            "weights": name,
            "weights_sha256": digest,
            "config": spec.cfg.model_dump(mode="json"),
            "view": spec.cfg.view.model_dump(mode="json"),
            "view_digest": spec.digest,
            "scaling": asdict(spec.scaling),
            "size_pix": spec.size_pix,
            "pixel_scale_arcsec": spec.pixel_scale_arcsec,
            "made_from": dict(spec.made_from),
            "validation": dict(spec.validation),
            "dhs": __version__,
            "torch": torch.__version__,
            "git": git_revision(),
        },
    )
    for old in folder.glob("weights-*.safetensors"):
        if old.name != name:
            old.unlink()


def load(path: Path) -> tuple[Finder, Spec]:
    """A finder as it was saved, ready to be asked.

    path : the JSON, or the folder that holds it
    Raises DhsError if it is no checkpoint, or its weights are missing, altered or of another net
    """
    path = path / CHECKPOINT if path.is_dir() else path
    if not path.exists():
        raise DhsError(
            f"{path} does not exist; give a checkpoint.json of `dhs train`, or its folder"
        )
    said = read_json(path)
    if not isinstance(said, dict) or said.get("what") != _WHAT:
        raise DhsError(f"{path} is no checkpoint of `dhs train`")
    cfg = build(Train, said["config"], f"{path} config")
    spec = Spec(
        cfg,
        Scaling(tuple(said["scaling"]["mean"]), tuple(said["scaling"]["width"])),
        said["size_pix"],
        said["pixel_scale_arcsec"],
        said["made_from"],
        said["validation"],
    )
    if spec.digest != said["view_digest"]:
        raise DhsError(
            f"{path}: its view is not the one that it was trained with; it was altered, or made by "
            f"another version ({said['dhs']}, this is {__version__})"
        )
    net = build_net(cfg, spec.size_pix, weights=False)
    net.load_state_dict(_weights(path.parent / said["weights"], said["weights_sha256"], net))
    return net.eval(), spec


def _weights(path: Path, digest: str, net: Finder) -> dict[str, torch.Tensor]:
    if not path.exists() or sha256(path) != digest:
        raise DhsError(f"{path} is missing or altered; copy it beside its {CHECKPOINT} again")
    try:
        state = safetensors.torch.load_file(path)
    except SafetensorError as error:
        raise DhsError(f"{path} cannot be read: {error}") from error
    ours = {name: values.shape for name, values in net.state_dict().items()}
    if ours != {name: values.shape for name, values in state.items()}:
        raise DhsError(f"{path} holds the weights of another network than its {CHECKPOINT} names")
    return state


def git_revision() -> str | None:
    """Of the source tree that this package runs from, + if it was changed since; or None."""
    here = Path(__file__).parent

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here), *words], capture_output=True, text=True, check=True, timeout=20
        ).stdout.strip()

    try:
        if not git("ls-files", Path(__file__).name):
            return None
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return None
