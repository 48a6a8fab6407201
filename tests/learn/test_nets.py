"""Networks: the ones that were published, for any number of bands, from weights at hand."""

import pytest
import torch
from safetensors.torch import save_file

from darkhaloscope.config import Train
from darkhaloscope.errors import DhsError
from darkhaloscope.learn.losses import losses
from darkhaloscope.learn.nets import build_net
from tolerance import assert_within

PUBLISHED = {  # parameters without the classifier
    "convnext_tiny": 28_589_128 - 769_000,
    "convnextv2_tiny": 28_635_496 - 769_000,
    "convnextv2_atto": 3_708_400 - 321_000,
    "convnextv2_nano": 15_623_800 - 641_000,
    "resnet18": 11_689_512 - 513_000,
    "efficientnet_v2_s": 21_458_488 - 1_281_000,
}


@pytest.mark.parametrize("arch", PUBLISHED)
def test_networks_are_the_published_ones(arch):
    net = build_net(Train(arch=arch), 64)
    assert sum(p.numel() for p in net.backbone.parameters()) == PUBLISHED[arch]


@pytest.mark.parametrize("arch", ["resnet_mini", "convnext_mini", "efficientnet_v2_s"])
@pytest.mark.parametrize("view", [{}, {"difference": "core", "meta_cols": ("psfsize_r",)}])
def test_a_logit_a_row_whatever_the_channels(arch, view):
    cfg = Train(arch=arch, **view)
    net = build_net(cfg, 64)
    logit = net(torch.randn(3, cfg.channels, 64, 64), torch.randn(3, len(cfg.meta_cols)))
    assert logit.shape == (3,) and bool(torch.isfinite(logit).all())
    logit.sum().backward()
    assert all(p.grad is not None for p in net.head.parameters())


def test_stamps_too_small_are_refused():
    with pytest.raises(DhsError, match="needs stamps of at least 32 pixels, got 24"):
        build_net(Train(arch="resnet_mini"), 24)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """As the library keeps a classifier's."""
    from transformers import ConvNextConfig, ConvNextForImageClassification

    folder = tmp_path_factory.mktemp("weights")
    config = ConvNextConfig(depths=[2, 2, 4, 2], hidden_sizes=[32, 64, 128, 256])
    torch.manual_seed(3)
    ConvNextForImageClassification(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("difference", ["none", "core"])
def test_weights_at_hand_are_taken(weights, difference):
    """Four channels start from the mean of three, so that grey light is seen as it was."""
    cfg = Train(arch="convnext_mini", pretrained=str(weights), difference=difference, dropout=0.0)
    three = Train(arch="convnext_mini", pretrained=str(weights), dropout=0.0)
    grey = torch.randn(1, 1, 64, 64)
    some, other = (build_net(c, 64).eval().backbone for c in (cfg, three))
    seen = [net(grey.expand(-1, c, -1, -1)).pooler_output
            for net, c in ((some, cfg.channels), (other, 3))]  # fmt: skip
    assert_within(seen[0].detach(), seen[1].detach(), 1e-4, "what grey light gives")


def test_weights_that_do_not_fit_are_refused(weights, tmp_path):
    with pytest.raises(DhsError, match=r"weights of .* are of another network"):
        build_net(Train(arch="convnext_tiny", pretrained=str(weights)), 64)
    with pytest.raises(DhsError, match=r"holds no model\.safetensors"):
        build_net(Train(arch="convnext_mini", pretrained=str(tmp_path)), 64)
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(DhsError, match="cannot be read as safetensors"):
        build_net(Train(arch="convnext_mini", pretrained=str(tmp_path)), 64)


def test_a_name_without_a_network_says_what_to_do(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DhsError, match=r"cannot be fetched from the hub .* give a folder"):
        build_net(Train(arch="convnext_tiny", pretrained="facebook/no-such-net"), 64)


def test_focal_loss_by_its_formula():
    logit = torch.linspace(-6, 6, 25, dtype=torch.float64)
    label = torch.tensor([0.0, 1.0], dtype=torch.float64).repeat(13)[:25]
    p = torch.sigmoid(logit)
    right = torch.where(label > 0, p, 1 - p)
    alpha = torch.where(label > 0, 0.25, 0.75)
    want = -alpha * (1 - right) ** 2 * torch.log(right)
    assert_within(losses(logit, label, Train()), want, 1e-6, "focal")
    plain = losses(logit, label, Train(focal_gamma=0.0, focal_alpha=0.5))
    assert_within(plain, losses(logit, label, Train(loss="bce")) / 2, 1e-6, "without focus")
