"""EfficientNetV2-S, for comparison: no library at hand has it for this torch.

Source: Tan & Le (2021), table 4; batch normalisation and SiLU throughout
"""

import torch
from torch import Tensor, nn

_STAGES = (
    ("fused", 1, 1, 24, 2),
    ("fused", 4, 2, 48, 4),
    ("fused", 4, 2, 64, 4),
    ("mb", 4, 2, 128, 6),
    ("mb", 6, 1, 160, 9),
    ("mb", 6, 2, 256, 15),
)
"""Kind of block, expansion, stride of the first, channels, blocks."""


class EfficientNetV2S(nn.Sequential):
    """(row, channel, y, x) to (row, WIDTH)."""

    WIDTH = 1280

    def __init__(self, channels: int, dropout: float = 0.0):
        blocks, width = [], 24
        total = sum(stage[-1] for stage in _STAGES)
        for kind, expand, stride, out, count in _STAGES:
            for i in range(count):
                drop = dropout * len(blocks) / total
                blocks.append(_Block(kind, width, out, expand, stride if i == 0 else 1, drop))
                width = out
        super().__init__(
            _conv(channels, 24, 3, 2),
            *blocks,
            _conv(width, self.WIDTH, 1),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )


class _Block(nn.Module):
    """MBConv, or its fused form: expand, filter, weigh channels, project; and the way around."""

    def __init__(self, kind: str, width: int, out: int, expand: int, stride: int, drop: float):
        super().__init__()
        inner = width * expand
        if kind == "fused":
            layers = [_conv(width, inner if expand > 1 else out, 3, stride)]
        else:
            layers = [
                _conv(width, inner, 1),
                _conv(inner, inner, 3, stride, groups=inner),
                _Weigh(inner, width // 4),
            ]
        if kind == "mb" or expand > 1:
            layers.append(_conv(inner, out, 1, act=False))
        self.layers = nn.Sequential(*layers)
        self.around = stride == 1 and width == out
        self.drop = drop

    def forward(self, x: Tensor) -> Tensor:
        y = self.layers(x)
        if not self.around:
            return y
        if self.training and self.drop:
            kept = torch.rand(len(x), 1, 1, 1, device=x.device) >= self.drop
            y = y * kept / (1 - self.drop)
        return x + y


class _Weigh(nn.Module):
    """Squeeze and excitation: each channel weighed by what all of them hold."""

    def __init__(self, width: int, inner: int):
        super().__init__()
        self.down, self.up = nn.Conv2d(width, inner, 1), nn.Conv2d(inner, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.up(torch.nn.functional.silu(self.down(x.mean((-2, -1), keepdim=True))))
        return x * torch.sigmoid(weight)


def _conv(width: int, out: int, side: int, stride: int = 1, groups: int = 1, act: bool = True):
    layers = [
        nn.Conv2d(width, out, side, stride, side // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out, eps=1e-3),
    ]
    return nn.Sequential(*layers, nn.SiLU()) if act else nn.Sequential(*layers)
