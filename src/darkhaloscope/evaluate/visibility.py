"""Whether a lens can be seen from the ground: its Einstein radius over the seeing, its arc's S/N.

Source: Rojas et al. (2023), arXiv 2301.03670: experts rarely recover arcs with a g-band S/N below
25, or Einstein radii below 1.2 times the seeing, in images like those of the Dark Energy Survey.
"""

import math
from dataclasses import dataclass

from darkhaloscope.units import SIGMA_PER_FWHM, ZERO_POINT_MAG

LEAST_SIZE_OVER_SEEING = 1.2
LEAST_ARC_SNR = 25.0

USUAL_ARC_MAG_G = (21.7, 23.0)
"""AB, bright and faint, where an arc's brightness is not known: 16 to 84 % of discoverable lenses
have a total arc of r 21.4 to 22.7 (Collett 2015, EVIDENCE section 4), and lensed sources at z 1 to
2.5 have g - r of about 0.3 (EVIDENCE section 3)."""

_SHARE_OF_RING = 0.5
"""Of the circle of theta_E that arcs cover together."""


@dataclass(frozen=True)
class Visibility:
    """A verdict with its reason."""

    seen: str  # yes, perhaps, no, or not known
    reason: str
    theta_over_seeing: float
    arc_snr_low: float  # g band; low and high are alike where the arc's brightness is known
    arc_snr_high: float


def arc_snr(mag: float, depth_mag: float, theta_E: float, seeing: float) -> float:
    """Matched S/N of an arc of a total magnitude, in an image of a 5 sigma point-source depth.

    Its light lies along half the circle of theta_E, as wide as the seeing: noise is that of the
    area that the PSF spreads it over. theta_E, seeing (FWHM) : arcsec
    """
    sigma = seeing * SIGMA_PER_FWHM
    point = 4 * math.pi * sigma**2
    strip = 2 * math.sqrt(math.pi) * sigma * _SHARE_OF_RING * 2 * math.pi * theta_E
    return 5 * 10 ** (0.4 * (depth_mag - mag)) * math.sqrt(point / (point + strip))


def point_depth(invvar: float, seeing: float, pixel_scale: float) -> float:
    """5 sigma point-source depth, AB, of a Gaussian PSF; NaN where nothing was observed.

    invvar : of one pixel, nmgy**-2; seeing (FWHM) and pixel_scale : arcsec
    """
    if not (invvar > 0 and seeing > 0):
        return math.nan
    pixels = 4 * math.pi * (seeing * SIGMA_PER_FWHM / pixel_scale) ** 2
    return ZERO_POINT_MAG - 2.5 * math.log10(5 * math.sqrt(pixels / invvar))


def visibility(
    theta_E: float, seeing: float, depth_mag: float, arc_mag: float = math.nan
) -> Visibility:
    """What to expect of a lens where it was observed.

    theta_E, seeing (FWHM, r band) : arcsec; depth_mag : 5 sigma point source, g; arc_mag : total
    of the arcs, g, NaN if not known. NaN in theta_E or seeing: nothing can be said of the size
    """
    ratio = theta_E / seeing if seeing > 0 else math.nan
    faint, bright = _snr_range(theta_E, seeing, depth_mag, arc_mag)
    seen, reason = _verdict(theta_E, ratio, faint, bright)
    return Visibility(seen, reason, ratio, faint, bright)


def _snr_range(theta_E, seeing, depth_mag, arc_mag) -> tuple[float, float]:
    if not all(math.isfinite(v) for v in (theta_E, seeing, depth_mag)):
        return math.nan, math.nan
    bright, faint = (arc_mag, arc_mag) if math.isfinite(arc_mag) else USUAL_ARC_MAG_G
    return arc_snr(faint, depth_mag, theta_E, seeing), arc_snr(bright, depth_mag, theta_E, seeing)


def _verdict(theta_E: float, ratio: float, faint: float, bright: float) -> tuple[str, str]:
    if not math.isfinite(ratio):
        missing = "Einstein radius" if not math.isfinite(theta_E) else "seeing"
        return "not known", f"the {missing} is not known"
    size = f"theta_E is {ratio:.2f} times the seeing"
    if ratio < LEAST_SIZE_OVER_SEEING:
        return "no", f"{size}, less than {LEAST_SIZE_OVER_SEEING}"
    if not math.isfinite(faint):
        return "perhaps", f"{size}; the depth is not known"
    if bright < LEAST_ARC_SNR:
        return (
            "no",
            f"{size}, but the arc's S/N is {bright:.0f} at most, less than {LEAST_ARC_SNR:g}",
        )
    if faint >= LEAST_ARC_SNR:
        return "yes", f"{size}, and the arc's S/N {faint:.0f} or more"
    return "perhaps", f"{size}; the arc's S/N may be {faint:.0f} to {bright:.0f}"
