"""Hosts and what stands around them have the survey's counts, colours and sizes."""

import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from darkhaloscope.keys import generator
from darkhaloscope.sim.field import draw_galaxies, draw_satellites, draw_stars
from darkhaloscope.sim.hosts import _log_mass, _radius, draw_host
from darkhaloscope.sim.sky import extinction
from darkhaloscope.units import PIXEL_SCALE_ARCSEC
from tolerance import assert_within

N = 3000


@pytest.fixture(scope="module")
def hosts():
    drawn = [draw_host(generator(f"host-{i}"), 0.12) for i in range(N)]
    every = drawn[0]
    for one in drawn[1:]:
        every += one
    return every


def test_hosts_are_luminous_red_galaxies(hosts):
    """Quantiles of 6,533 real rows, seen through their median E(B-V) of 0.12."""
    g, r, z = (hosts.mags + extinction(0.12)).T
    assert_within(np.percentile(r, [5, 50, 95]), [19.88, 21.12, 21.95], 0.1, "r")
    assert_within(np.percentile(z, [5, 50, 95]), [18.77, 19.94, 20.36], 0.1, "z")
    assert_within(np.percentile(g - r, [5, 50, 95]), [0.81, 1.66, 2.12], 0.1, "g-r")
    assert_within(np.percentile(r - z, [5, 50, 95]), [0.75, 1.23, 1.80], 0.1, "r-z")
    assert 0.5 < spearmanr(g - r, r - z).statistic < 0.7


def test_hosts_stand_within_half_a_pixel_of_the_centre(hosts):
    assert max(abs(hosts.x).max(), abs(hosts.y).max()) <= PIXEL_SCALE_ARCSEC / 2
    assert hosts.x.std() > 0.25 * PIXEL_SCALE_ARCSEC


def test_brighter_hosts_are_larger_and_shapes_are_those_of_galaxies(hosts):
    assert spearmanr(hosts.mags[:, 2], hosts.r_e).statistic < -0.3
    assert 0.6 < np.median(hosts.r_e) < 1.4
    assert hosts.q.min() >= 0.25 and hosts.q.max() <= 1
    assert hosts.n.min() >= 0.6 and hosts.n.max() <= 6
    assert 0.3 < (hosts.n > 3).mean() < 0.6


def test_of_equal_brightness_the_redder_host_is_farther_so_more_massive():
    near, far = (10 ** _log_mass(20.0, redshift) for redshift in (0.3, 0.8))
    assert far > 3 * near


def test_a_hosts_radius_follows_the_mass_size_relation():
    """M = 10^11.2 at z = 0.55: 7.3 kpc, seen at 6.4 kpc per arcsec."""
    assert abs(_radius(20.0, 0.55, 0.0) - 7.3 / 6.4) < 0.1


@pytest.mark.parametrize("per_arcmin2", [5.0, 12.0])
def test_field_galaxies_have_the_asked_density(per_arcmin2):
    fields = [draw_galaxies(generator(f"n-{i}"), 10.0, per_arcmin2) for i in range(2000)]
    bright = sum(int((f.mags[:, 1] < 23.5).sum()) for f in fields)
    want = 2000 * per_arcmin2 * (20 / 60) ** 2
    assert abs(bright - want) < 5 * math.sqrt(want)
    assert all((np.abs([f.x, f.y]) <= 10).all() for f in fields)
    assert len(draw_galaxies(generator("none"), 10.0, 0.0)) == 0


def test_field_galaxies_have_the_colours_of_spectroscopic_ones():
    drawn = draw_galaxies(generator("wide"), 600.0, 10.0)
    g, r, z = drawn.mags.T
    near = np.abs(r - 22) < 0.3
    assert_within(np.percentile((g - r)[near], [16, 50, 84]), [0.48, 0.69, 1.16], 0.12, "g-r")
    assert_within(np.percentile((r - z)[near], [16, 50, 84]), [0.35, 0.64, 1.21], 0.12, "r-z")
    assert np.median((g - r)[r > 24]) < np.median((g - r)[r < 21])
    bright, faint = np.median(drawn.r_e[r < 21]), np.median(drawn.r_e[r > 24.5])
    assert bright > 2 * faint


def test_stars_lie_on_their_locus_and_where_the_dust_is():
    drawn = draw_stars(generator("stars"), 900.0, 1.0, 0.047)
    assert abs((drawn.mags[:, 1] < 21).sum() - 900) < 5 * 30
    g_minus_r, r_minus_z = drawn.mags[:, 0] - drawn.mags[:, 1], drawn.mags[:, 1] - drawn.mags[:, 2]
    assert g_minus_r.max() < 1.8  # M dwarfs redden in r-z alone
    blue = g_minus_r < 1.0
    assert np.abs(r_minus_z[blue] - (0.47 * g_minus_r[blue])).max() < 0.3
    assert len(draw_stars(generator("stars"), 900.0, 1.0, 0.3)) > 1.5 * len(drawn)


def test_satellites_crowd_around_their_host_and_share_its_colour():
    host = draw_host(generator("host"), 0.0)
    drawn = draw_satellites(generator("satellites"), host, 4000.0)
    radius = np.hypot(drawn.x - host.x, drawn.y - host.y)
    assert abs(len(drawn) - 4000) < 5 * math.sqrt(4000)
    inner, outer = (radius < 7).sum() / 7**2, (radius >= 7).sum() / (14**2 - 7**2)
    assert inner > 2 * outer
    assert (drawn.mags[:, 1] > host.mags[0, 1] + 0.99).all()
    of_host = host.mags[0, 0] - host.mags[0, 1]
    same = np.abs(drawn.mags[:, 0] - drawn.mags[:, 1] - of_host) < 0.35
    assert same.mean() > 0.5
