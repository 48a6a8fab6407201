"""Glare, saturation, masks and ghosts: what bright stars and bad pixels do to a cutout."""

import numpy as np
import pytest

from darkhaloscope.flags import Flag
from darkhaloscope.keys import generator
from darkhaloscope.sim import flaws
from darkhaloscope.sim.inject import cutout_flags
from darkhaloscope.sim.paint import Stars
from darkhaloscope.sim.sky import Conditions
from darkhaloscope.units import flux_from_mag
from tolerance import assert_ratio

SEEN = Conditions(
    psf_fwhm=np.array([1.47, 1.35, 1.29]),
    psf_e=np.zeros((3, 2)),
    depth=np.array([24.7, 24.3, 23.3]),
    nexp=np.array([3, 3, 3]),
    ebv=0.0,
)


def star(r, x=0.0, y=0.0) -> Stars:
    return Stars(np.array([x]), np.array([y]), np.array([[r + 0.5, r, r - 0.2]]))


def test_a_bright_star_keeps_its_flux_but_for_wings_and_spikes():
    light = flaws.star_glare(star(15.0), SEEN, 201).sum((1, 2))
    assert_ratio(light, flux_from_mag([15.5, 15.0, 14.8]), 0.1, "flux")


def test_spikes_stand_on_the_diagonals():
    light = flaws.star_glare(star(13.0), SEEN, 101)[1]
    away = 25
    assert light[50 + away, 50 + away] > 2 * light[50, 50 + round(away * 2**0.5)]
    assert light[50 - away, 50 + away] > 2 * light[50 + round(away * 2**0.5), 50]


def test_only_bright_stars_glare():
    mags = np.array([[17.0] * 3, [18.0] * 3])
    two = Stars(np.zeros(2), np.zeros(2), mags)
    assert flaws.bright_stars(two).tolist() == [True, False]


@pytest.mark.parametrize(("r", "bits"), [(12.0, 0x802), (15.0, 0x800), (17.0, 0)])
def test_surroundings_of_bright_stars_are_masked_as_in_the_survey(r, bits):
    mask = flaws.mask_stars(star(r, x=3.0), np.zeros((3, 64, 64)))
    assert mask.max() == bits and mask.dtype == np.int32
    if bits:
        area = (mask == bits).sum() * 0.262**2
        reach = flaws.star_mask_radius(r)
        assert area <= np.pi * reach**2 * 1.1


def test_saturated_pixels_are_cut_have_no_weight_and_say_so():
    light = flaws.star_glare(star(13.0), SEEN, 64)
    image, invvar = light.copy(), np.ones_like(light)
    bits = flaws.mask_stars(star(13.0), light)
    flaws.saturate(image, invvar, bits)
    assert image.max() < light.max()
    assert invvar[1, 32, 32] == 0 and bits[32, 32] & (1 << 3)
    flags = cutout_flags(image, invvar, bits, SEEN.psf_fwhm, SEEN.nexp, (0, 0), 0.262)
    assert Flag.SATURATED in flags


def test_a_line_of_bad_pixels_lies_in_one_band_and_has_no_weight():
    for i in range(50):
        image, invvar = np.zeros((3, 64, 64), np.float32), np.full((3, 64, 64), 4e5, np.float32)
        bits = np.zeros((64, 64), np.int32)
        flaws.bad_line(generator(f"line-{i}"), image, invvar, bits)
        bad = (invvar == 0).any(axis=(1, 2))
        assert bad.sum() <= 1
        assert set(np.unique(bits)) <= {0, 1 << 5, 1 << 6, 1 << 7}
        assert ((bits > 0) == (invvar == 0).any(axis=0)).all()
        assert (bits > 0).mean() < 0.1


def test_a_ghost_is_dimmer_than_its_peak_and_in_every_band():
    peak = np.array([0.01, 0.02, 0.03])
    for i in range(20):
        light = flaws.ghost(generator(f"ghost-{i}"), 64, peak)
        assert (light >= 0).all()
        assert (light.max(axis=(1, 2)) <= 1.3 * peak).all()
        assert light[0].max() > 0.1 * peak[0]
