"""Many stamps on one page, as an expert looks through them."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from darkhaloscope.report.canvas import png_bytes
from darkhaloscope.report.colour import rgb

_GAP_PX, _CAPTION_PX = 4, 15
_BACKGROUND, _TEXT = "#12151c", "#eef1f6"


def mosaic(
    images: Sequence[np.ndarray], sky_sigma: np.ndarray, captions: Sequence[str], across: int = 10
) -> bytes:
    """PNG of stamps in rows, a caption below each.

    images : (band, y, x) each, nmgy, of one size; sky_sigma : (stamp, band), nmgy
    Raises ValueError if there is none
    """
    if not len(images):
        raise ValueError("there is no stamp to show")
    n = images[0].shape[-1]
    side = max(1, round(112 / n)) * n
    across = min(across, len(images))
    down = -(-len(images) // across)
    width = across * (side + _GAP_PX) + _GAP_PX
    height = down * (side + _GAP_PX + _CAPTION_PX) + _GAP_PX
    figure = Figure((width / 100, height / 100), dpi=100, facecolor=_BACKGROUND)
    for i, (image, sigma, caption) in enumerate(zip(images, sky_sigma, captions, strict=True)):
        left = _GAP_PX + (i % across) * (side + _GAP_PX)
        top = _GAP_PX + (i // across) * (side + _GAP_PX + _CAPTION_PX)
        at = (left / width, 1 - (top + side) / height, side / width, side / height)
        axes = figure.add_axes(at)
        axes.set_axis_off()
        axes.imshow(rgb(image, sigma), origin="lower", interpolation="nearest", aspect="auto")
        figure.text(
            left / width, 1 - (top + side + 11) / height, caption, color=_TEXT, fontsize=6.5
        )
    return png_bytes(figure)
