"""Bands brought to one PSF, so that a colour is that of one piece of the sky."""

import torch
from torch import Tensor
from torch.nn.functional import pad

from darkhaloscope.sim.psf import Moffat

PSF = Moffat()
_MARGIN_PIX = 8
_NOTHING = 1e-6
"""Transform of a PSF below which it passes nothing that could be brought back."""


def to_broadest(images: Tensor, fwhm: Tensor, pixel_scale: float) -> Tensor:
    """Images as the broadest PSF of each row would show them.

    images : (row, band, y, x); fwhm : (row, band), arcsec, of Moffats as sim.psf has them;
    pixel_scale : arcsec
    Returns (row, band, y, x); the broadest band is as it came, edges are mirrored
    """
    broad = fwhm.amax(1, keepdim=True)
    if bool((fwhm == broad).all()):
        return images
    mirrored = pad(images, (_MARGIN_PIX,) * 4, mode="reflect")
    side = mirrored.shape[-1]
    frequency = _frequencies(side, pixel_scale, images)
    theirs, wanted = (PSF.profile(frequency, w[..., None, None].to(images)) for w in (fwhm, broad))
    ratio = torch.where(theirs > _NOTHING, wanted / theirs.clamp_min(_NOTHING), 0).clamp_max(1)
    blurred = torch.fft.irfft2(torch.fft.rfft2(mirrored) * ratio, s=(side, side))
    inside = blurred[..., _MARGIN_PIX:-_MARGIN_PIX, _MARGIN_PIX:-_MARGIN_PIX]
    return torch.where((fwhm == broad)[..., None, None], images, inside)


def _frequencies(side: int, pixel_scale: float, like: Tensor) -> Tensor:
    """|k| of a half transform, cycles per arcsec: (k_y, k_x)."""
    ky = torch.fft.fftfreq(side, pixel_scale, dtype=like.dtype, device=like.device)
    kx = torch.fft.rfftfreq(side, pixel_scale, dtype=like.dtype, device=like.device)
    return torch.hypot(ky[:, None], kx)
