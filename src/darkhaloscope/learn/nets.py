"""Networks: ConvNeXt and ResNet of the transformers library, EfficientNetV2 of our own blocks."""

from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from darkhaloscope.config import Train
from darkhaloscope.errors import DhsError
from darkhaloscope.learn.efficientnet import EfficientNetV2S

_CONVNEXT = {
    "convnext_mini": ("", (2, 2, 4, 2), (32, 64, 128, 256)),
    "convnext_tiny": ("", (3, 3, 9, 3), (96, 192, 384, 768)),
    "convnextv2_atto": ("V2", (2, 2, 6, 2), (40, 80, 160, 320)),
    "convnextv2_nano": ("V2", (2, 2, 8, 2), (80, 160, 320, 640)),
    "convnextv2_tiny": ("V2", (3, 3, 9, 3), (96, 192, 384, 768)),
}
"""Version, depths and widths. Source: Liu et al. (2022), Woo et al. (2023); mini is ours"""

_RESNET = {
    "resnet_mini": ((1, 1, 1, 1), (32, 64, 128, 256)),
    "resnet18": ((2, 2, 2, 2), (64, 128, 256, 512)),
}
"""Depths and widths of basic blocks. Source: He et al. (2016); mini is ours"""

LEAST_SIZE = 32
"""Side of the smallest stamp that leaves the last stage a pixel, pix."""


class Finder(nn.Module):
    """A backbone, and a logit from what it saw and from the meta columns."""

    def __init__(self, backbone: nn.Module, width: int, meta: int):
        super().__init__()
        self.backbone = backbone
        self.told = nn.Sequential(nn.Linear(meta, 32), nn.GELU()) if meta else None
        self.head = nn.Linear(width + (32 if meta else 0), 1)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, channels: Tensor, meta: Tensor) -> Tensor:
        """(row,) logits of (row, channel, y, x) and (row, column)."""
        return self.judged(self.embedded(channels, meta))

    def embedded(self, channels: Tensor, meta: Tensor) -> Tensor:
        """What the last layer is shown: (row, feature)."""
        found = self.backbone(channels)
        seen = (found if isinstance(found, Tensor) else found.pooler_output).flatten(1)
        return seen if self.told is None else torch.cat([seen, self.told(meta)], dim=1)

    def judged(self, seen: Tensor) -> Tensor:
        """(row,) logits of what the last layer is shown."""
        with torch.autocast(seen.device.type, enabled=False):  # bfloat16 would tie most logits
            return self.head(seen.float())[:, 0]


def build_net(cfg: Train, size: int, weights: bool = True) -> Finder:
    """The network that the settings name, for stamps of `size` pixels.

    weights : start from cfg.pretrained, where that is given
    Raises DhsError if the learn extra is not installed, a stamp is too small, or weights are not
    to be had or do not fit
    """
    if size < LEAST_SIZE:
        raise DhsError(f"{cfg.arch} needs stamps of at least {LEAST_SIZE} pixels, got {size}")
    backbone, width = _backbone(cfg)
    if weights and cfg.pretrained is not None:
        _load(backbone, cfg.pretrained, cfg.channels)
    return Finder(backbone, width, len(cfg.meta_cols))


def _backbone(cfg: Train) -> tuple[nn.Module, int]:
    """A network that gives one vector a row, and its length."""
    if cfg.arch in _CONVNEXT:
        return _convnext(cfg)
    if cfg.arch in _RESNET:
        return _resnet(cfg)
    return EfficientNetV2S(cfg.channels, cfg.dropout), EfficientNetV2S.WIDTH


def _convnext(cfg: Train) -> tuple[nn.Module, int]:
    version, depths, widths = _CONVNEXT[cfg.arch]
    library = _library()
    config = getattr(library, f"ConvNext{version}Config")(
        num_channels=cfg.channels,
        depths=list(depths),
        hidden_sizes=list(widths),
        drop_path_rate=cfg.dropout,
    )
    return getattr(library, f"ConvNext{version}Model")(config), widths[-1]


def _resnet(cfg: Train) -> tuple[nn.Module, int]:
    depths, widths = _RESNET[cfg.arch]
    library = _library()
    config = library.ResNetConfig(
        num_channels=cfg.channels,
        embedding_size=widths[0],
        hidden_sizes=list(widths),
        depths=list(depths),
        layer_type="basic",
    )
    return library.ResNetModel(config), widths[-1]


def _library() -> Any:
    """The transformers library; by name, for its 2,000 modules would be type-checked otherwise."""
    try:
        return import_module("transformers")
    except ImportError as error:
        raise DhsError(
            "networks come from the transformers library, which is not installed; "
            "pip install 'darkhaloscope[learn]'"
        ) from error


def _load(backbone: nn.Module, source: str, channels: int) -> None:
    """Weights of the same architecture; its first layer averaged where colours are not three."""
    state = _weights(source)
    ours = backbone.state_dict()
    state = {_without_prefix(name, ours): values for name, values in state.items()}
    for name, values in state.items():
        if name in ours and values.shape != ours[name].shape and values.dim() == 4:
            mean = values.mean(1, keepdim=True) * values.shape[1] / channels
            state[name] = mean.expand(-1, channels, -1, -1).clone()
    kept = {n: v for n, v in state.items() if n in ours and v.shape == ours[n].shape}
    if missing := ours.keys() - kept.keys():
        raise DhsError(
            f"the weights of {source} are of another network: {len(missing)} of {len(ours)} are "
            f"missing, such as {min(missing)}; choose --arch to fit them"
        )
    backbone.load_state_dict(kept)


def _without_prefix(name: str, ours) -> str:
    """A backbone's own name of a weight that a classifier keeps as `convnext.embeddings...`."""
    rest = name.partition(".")[2]
    return rest if name not in ours and rest in ours else name


def _weights(source: str) -> dict[str, Tensor]:
    """Of a folder, or by a name on the hub."""
    from safetensors.torch import load_file

    file = Path(source) / "model.safetensors"
    if not file.exists():
        if Path(source).exists() or source.count("/") != 1:
            raise DhsError(
                f"{source} holds no model.safetensors; give a folder that does, or a name on the "
                "hub such as facebook/convnext-tiny-224"
            )
        file = _fetched(source)
    try:
        return load_file(file)
    except Exception as error:
        raise DhsError(f"{file} cannot be read as safetensors: {error}") from error


def _fetched(name: str) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(name, "model.safetensors"))
    except Exception as error:  # the hub's own errors, and those of whatever network is below it
        raise DhsError(
            f"{name} cannot be fetched from the hub ({type(error).__name__}); without a network, "
            "give a folder that holds its model.safetensors"
        ) from error
