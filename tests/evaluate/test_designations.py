"""A name is a box on the sky: cut off, never rounded."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkhaloscope.evaluate.designations import Impossible, box_of, same_name


def off(name, ra, dec):
    return box_of(name).off_arcsec(ra, dec)


@pytest.mark.parametrize(
    ("name", "ra", "dec", "step_arcsec"),
    [
        ("SDSSJ091205.30+002901.1", 138.022125, 0.483667, 0.15),
        ("SDSSJ0912+0029", 138.022125, 0.483667, 900),
        ("SDSS J1430+4105", 217.517083, 41.099194, 678),
        ("SL2SJ0849\u22120412", 132.28963, -4.20742, 897),  # a typeset minus
        ("021411-040502", 33.5467, -4.0841, 15),
        ("J091205302+00290120", 138.022125, 0.483667, 0.015),
        ("DESI-154.6972-01.3590", 154.69725, -1.35907, 0.36),
        ("DESI J246.0062+01.4836", 246.00625, 1.48365, 0.36),
        ("HST14113+5211", 212.8317, 52.19158, 60),  # HHMMm
        ("B0128+437", 22.80585, 43.97032, 650),  # HHMM and DDd, of 1950
        ("Q0142-100", 26.3194, -9.75475, 886),
        ("HE0435-1223", 69.5619, -12.28745, 879),
        ("GRAL113100-441959", 172.750175, -44.3331583, 11),
    ],
)
def test_right_names_agree_as_precisely_as_they_tell(name, ra, dec, step_arcsec):
    assert off(name, ra, dec) < 2
    assert box_of(name).step_arcsec == pytest.approx(step_arcsec, rel=0.04)
    assert off(name, ra, dec + 1) > 1800


@pytest.mark.parametrize("name", ["47", "Cosmic Horseshoe", "", "COSMOS5921+0638", "Abell 2744"])
def test_names_without_a_position(name):
    assert box_of(name) is None


def test_galactic_coordinates_are_no_right_ascension():
    assert box_of("PSZ1G311.650-18.480") is None


@pytest.mark.parametrize("name", ["000008+022660", "J0960+1006", "J094656+107200"])
def test_digits_that_can_be_no_place_are_said(name):
    with pytest.raises(Impossible, match="in the place of minutes or seconds"):
        box_of(name)


def test_a_position_that_only_rounds_to_the_name_does_not_agree():
    ra_of_09h11m45s, dec = 15 * (9 + 11.75 / 60), 0.4845
    assert off("SDSSJ0912+0029", ra_of_09h11m45s, dec) == pytest.approx(15 * 15, rel=1e-3)
    assert off("SDSSJ0911+0029", ra_of_09h11m45s, dec) == 0


def test_the_south_is_cut_off_towards_the_equator():
    assert off("J1451-0239", 222.867458, -2.660111) == 0
    assert off("J1451-0239", 222.867458, -2.6400) == pytest.approx(36, abs=0.1)


def test_a_negative_zero_keeps_its_sign():
    assert off("SDSSJ0029-0055", 7.282417, -0.930694) == 0
    assert off("SDSSJ0029+0055", 7.282417, -0.930694) > 3600


def test_right_ascension_goes_around():
    assert off("J2359+1000", 0.0, 10.0) == pytest.approx(0, abs=1e-6)
    assert off("J0000+1000", 359.999, 10.0) == pytest.approx(3.6 * math.cos(math.radians(10)))


def test_j_is_of_2000_and_no_other():
    assert off("Q0142-100", 26.3194, -9.75475) == 0
    assert off("QJ0142-100", 26.3194, -9.75475) > 600


def _name(ra, dec, digits):
    """As the IAU asks: HHMM+DDMM, HHMMSS+DDMMSS or HHMMSS.ss+DDMMSS.s, cut off."""
    seconds, sign = math.floor(ra / 15 * 3600 * 1000) / 1000, "-" if dec < 0 else "+"
    arcsec = math.floor(abs(dec) * 3600 * 1000) / 1000
    h, m, s = int(seconds // 3600), int(seconds % 3600 // 60), seconds % 60
    d, n, a = int(arcsec // 3600), int(arcsec % 3600 // 60), arcsec % 60
    if digits == 4:
        return f"X J{h:02d}{m:02d}{sign}{d:02d}{n:02d}"
    if digits == 6:
        return f"X J{h:02d}{m:02d}{int(s):02d}{sign}{d:02d}{n:02d}{int(a):02d}"
    s, a = math.floor(s * 100) / 100, math.floor(a * 10) / 10
    return f"X J{h:02d}{m:02d}{s:05.2f}{sign}{d:02d}{n:02d}{a:04.1f}"


@given(st.floats(0, 359.99), st.floats(-85, 85), st.sampled_from([4, 6, 8]))
def test_a_position_agrees_with_its_own_name_and_with_no_other(ra, dec, digits):
    name = _name(ra, dec, digits)
    box = box_of(name)
    assert box.off_arcsec(ra, dec) < 0.15
    side = {4: 60.0, 6: 1.0, 8: 0.1}[digits]
    assert box.off_arcsec(ra, dec + (side + 10) / 3600) > 9
    assert box.off_arcsec(ra, dec - (side + 10) / 3600) > 9
    assert box.off_arcsec((ra + 180) % 360, -dec if abs(dec) > 1 else dec + 3) > 3600


def test_a_short_name_is_that_of_a_long_one():
    short, full = box_of("SDSSJ0912+0029"), box_of("SLACSJ091205.31+002901.2")
    assert same_name(short, full) and same_name(full, short)
    assert not same_name(short, box_of("SDSSJ0912+0030"))
    assert not same_name(box_of("J0912-0029"), short)
