"""Where a stamp lies on the sky: the FITS keywords of its tangent plane."""

from collections.abc import Mapping

import numpy as np

from darkhaloscope.units import stamp_center

TYPES = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CUNIT1": "deg", "CUNIT2": "deg"}
"""Keywords that are the same for every stamp."""


def wcs_columns(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """FITS WCS keywords of stamps, one value a row: a TAN projection about each stamp's centre.

    columns : ra_deg, dec_deg, host_center_x_arcsec, host_center_y_arcsec, pixel_scale_arcsec,
        size_pix of schema.STAMPS
    North is +y and East is -x, as in the survey's coadds. Their tangent point is their brick's
    centre, so that their North turns by up to 0.125 deg x tan(dec) towards a brick's edge; here it
    is straight up, and a stamp of 64 pixels is off by at most 0.02 arcsec in its corners at dec 30.
    """
    step = columns["pixel_scale_arcsec"] / 3600
    none = np.zeros(len(step))
    ra, dec = _sky_of(
        columns["ra_deg"],
        columns["dec_deg"],
        east=columns["host_center_x_arcsec"],
        north=-columns["host_center_y_arcsec"],
    )
    middle = stamp_center(columns["size_pix"]) + 1  # FITS counts pixels from 1
    numbers = {"CRPIX1": middle, "CRPIX2": middle, "CRVAL1": ra, "CRVAL2": dec}
    turns = {"CD1_1": -step, "CD1_2": none, "CD2_1": none, "CD2_2": step}
    same = {name: np.full(len(step), word, object) for name, word in TYPES.items()}
    return {**same, **numbers, **turns}


def _sky_of(ra_deg, dec_deg, *, east, north) -> tuple[np.ndarray, np.ndarray]:
    """Positions (deg) that lie so far (arcsec) from others, in their tangent planes."""
    x, y = np.radians(east / 3600), np.radians(north / 3600)
    dec0 = np.radians(dec_deg)
    along = np.cos(dec0) - y * np.sin(dec0)
    ra = ra_deg + np.degrees(np.arctan2(x, along))
    dec = np.degrees(np.arctan2(np.sin(dec0) + y * np.cos(dec0), np.hypot(x, along)))
    return ra % 360, dec
