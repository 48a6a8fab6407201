"""A stamp's WCS against the survey's own coadds: where a pixel of one lies in the other."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from darkhaloscope.survey.bricks import brick_of, pixel_of
from darkhaloscope.survey.wcs import wcs_columns


def _stamp(ra: float, dec: float, center_x: float, center_y: float, size: int) -> WCS:
    row = {
        "ra_deg": ra, "dec_deg": dec, "pixel_scale_arcsec": 0.262, "size_pix": size,
        "host_center_x_arcsec": center_x, "host_center_y_arcsec": center_y,
    }  # fmt: skip
    columns = wcs_columns({name: np.array([value]) for name, value in row.items()})
    return WCS(fits.Header({name: values[0] for name, values in columns.items()}))


@pytest.mark.parametrize("size", [64, 65])
@pytest.mark.parametrize("place", [(150.03, 2.1), (0.01, -30.03), (359.99, 31.9), (95.9, -66.2)])
def test_pixels_of_a_stamp_are_pixels_of_the_coadd(place, size):
    """A stamp cut out of whole pixels: its WCS says where each of them was."""
    ra, dec = place
    brick = brick_of(ra, dec)
    x, y = pixel_of(ra, dec, brick)
    first = np.round(np.array([x, y]) - (size - 1) / 2)
    center = (np.array([x, y]) - first - (size - 1) / 2) * 0.262
    wcs = _stamp(ra, dec, *center, size)
    at = wcs.all_world2pix(ra, dec, 0)
    assert np.allclose(at, np.array([x, y]) - first, atol=1e-6)
    for corner in ((0, 0), (0, size - 1), (size - 1, 0), (size - 1, size - 1)):
        sky = wcs.all_pix2world(*corner, 0)
        there = pixel_of(float(sky[0]), float(sky[1]), brick)
        lean = np.radians(0.125 * abs(np.tan(np.radians(dec)))) * size / np.sqrt(2)
        assert np.abs(np.array(there) - first - corner).max() < lean + 0.01


def test_the_middle_of_a_stamp_is_its_reference():
    wcs = _stamp(150.0, 2.0, 0.1, -0.1, 64)
    assert wcs.wcs.crpix.tolist() == [32.5, 32.5]
    assert wcs.wcs.crval[0] == pytest.approx(150.0 + 0.1 / 3600 / np.cos(np.radians(2)), abs=1e-8)
    assert wcs.wcs.crval[1] == pytest.approx(2.0 + 0.1 / 3600, abs=1e-8)
