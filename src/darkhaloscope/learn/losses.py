"""What is made small: focal loss, or binary cross-entropy, of logits."""

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from darkhaloscope.config import Train


def losses(logit: Tensor, label: Tensor, cfg: Train) -> Tensor:
    """(row,); label : (row,) 1 or 0.

    Source: Lin et al. (2017), alpha (1 - p)**gamma times cross-entropy, alpha the weight of lenses
    """
    plain = cross_entropy(logit, label, reduction="none")
    if cfg.loss == "bce":
        return plain
    right = (-plain).exp()  # the probability given to what is true
    weight = cfg.focal_alpha * label + (1 - cfg.focal_alpha) * (1 - label)
    return weight * (1 - right) ** cfg.focal_gamma * plain
