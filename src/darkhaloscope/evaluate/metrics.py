"""Simple numbers of a stamp that a lazy classifier could use instead of looking at arcs."""

import numpy as np

from darkhaloscope.sim.inject import sky_sigma
from darkhaloscope.units import BANDS, stamp_center

CORE_ARCSEC = 0.8
ARC_ARCSEC = (0.8, 2.6)
OUTER_FRACTION = 0.8
"""The outer annulus starts at this fraction of half the stamp."""


def stamp_metrics(images: np.ndarray, pixel_scale: float) -> dict[str, np.ndarray]:
    """One number a stamp and statistic, r band unless named.

    images : (row, band, y, x), nmgy
    Returns core, arc and outer mean surface brightness (nmgy per pixel), total (nmgy),
    sky_sigma_<band> (nmgy, of the outer annulus, where no arc is), bad_pixels (count) and peak
    (nmgy, any band)
    """
    n = images.shape[-1]
    y, x = np.indices((n, n)) - stamp_center(n)
    radius = np.hypot(x, y)
    arcsec = radius * pixel_scale
    red = np.nan_to_num(images[:, BANDS.index("r")].astype(np.float64))
    regions = {
        "core": arcsec < CORE_ARCSEC,
        "arc": (arcsec >= ARC_ARCSEC[0]) & (arcsec < ARC_ARCSEC[1]),
        "outer": radius >= OUTER_FRACTION * n / 2,
    }
    outskirts = np.nan_to_num(images)[..., None, regions["outer"]]
    sigma = sky_sigma(outskirts)
    return {
        **{name: red[:, where].mean(axis=1) for name, where in regions.items()},
        "total": red.sum((1, 2)),
        **{f"sky_sigma_{band}": sigma[:, i] for i, band in enumerate(BANDS)},
        "bad_pixels": (~np.isfinite(images)).sum((1, 2, 3)),
        "peak": np.nan_to_num(images).max((1, 2, 3)),
    }
