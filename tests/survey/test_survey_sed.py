"""Colours of types at redshifts, against published values and spectroscopic galaxies."""

import numpy as np
import pytest
from astropy.cosmology import Planck18
from astropy.table import Table

from darkhaloscope.sim.colours import (
    TYPES,
    draw_colours,
    draw_types,
    moved_mag,
    moved_size,
    offset_colours,
)
from darkhaloscope.survey.sed import colour_grid, synthesize
from tolerance import assert_ratio, assert_within

KINDS = np.array([0.0, 1.0, 2.0])  # Im, Scd, Sbc


@pytest.mark.parametrize(
    ("z", "g_minus_r", "r_minus_z"),
    [
        (1.0, (0.21, 0.58, 0.87), (0.89, 1.28, 1.62)),
        (1.5, (0.15, 0.21, 0.53), (0.56, 0.99, 1.44)),
        (2.0, (0.26, 0.23, 0.41), (0.19, 0.51, 0.84)),
        (2.5, (0.32, 0.21, 0.25), (0.19, 0.27, 0.65)),
        (3.0, (0.39, 0.32, 0.33), (0.29, 0.27, 0.54)),
    ],
)
def test_templates_have_their_published_colours(z, g_minus_r, r_minus_z):
    """EVIDENCE section 3."""
    g, r, red = (colour_grid().mag(band, KINDS, np.full(3, z)) for band in "grz")
    assert_within(g - r, g_minus_r, 0.015, "g-r")
    assert_within(r - red, r_minus_z, 0.015, "r-z")


@pytest.fixture(scope="module")
def vvds(real_data):
    """z, g-r and r-z (MegaCam) of galaxies with very reliable redshifts, and that grid."""
    folder = real_data / "photometry"
    table = Table.read(folder / "vvds_deep_veryreliable.csv")
    g, r, red = (np.asarray(table[f"MAG_AUTO_{b}"], float) for b in "GRZ")
    good = np.all([(m > 10) & (m < 35) for m in (g, r, red)], axis=0)
    bands = {b: tuple(np.loadtxt(folder / f"{b}_megacam.res").T) for b in "grz"}
    z = np.asarray(table["ds_spectra.Z"], float)
    return z[good], (g - r)[good], (r - red)[good], synthesize(bands)


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.4), (1.4, 4.0)])
def test_drawn_sources_have_the_colours_of_spectroscopic_galaxies(vvds, low, high):
    """At the same redshifts, through the same filters: medians within 0.15 mag."""
    z, g_minus_r, r_minus_z, megacam = vvds
    chosen = (z > low) & (z <= high)
    n = int(chosen.sum())
    u = np.random.default_rng(1).random((3, 40 * n))
    at = np.tile(z[chosen], 40)
    drawn = draw_colours(draw_types(u[0]), at, u[1], u[2], megacam)
    for found, real, name in zip(drawn, (g_minus_r, r_minus_z), ("g-r", "r-z"), strict=True):
        got, want = (np.percentile(v, [16, 50, 84]) for v in (found, real[chosen]))
        print(f"{low} < z < {high}: {name} drawn {got.round(2)}, VVDS {want.round(2)}")
        assert_within([got[1]], [want[1]], 0.15, f"median {name}")
        assert_within(got, want, 0.3, f"16, 50, 84% of {name}")


def test_what_the_filters_differ_by_is_small(vvds):
    """DECam against MegaCam, for types and redshifts of sources: some 0.1 mag at most."""
    megacam, decam = vvds[3], colour_grid()
    kinds, z = np.meshgrid(np.linspace(-0.4, 1.4, 10), np.linspace(1, 2.5, 16))
    for one, two in ("gr", "rz"):
        difference = [g.mag(one, kinds, z) - g.mag(two, kinds, z) for g in (decam, megacam)]
        assert 0.01 < np.abs(difference[0] - difference[1]).max() < 0.15


def test_a_type_is_found_again_from_its_magnitudes():
    grid, kinds = colour_grid(), np.array([-0.6, 0.0, 0.7, 1.5, 2.9])
    z = np.array([0.3, 0.7, 1.1, 0.9, 0.5])
    mags = {f"hsc_{b}": 23.0 + grid.mag(f"hsc_{b}", kinds, z) for b in "griz"}
    assert_within(grid.fit(mags, z), kinds, 0.11, "type")
    mags["hsc_g"][1] = np.nan  # three bands will do
    mags |= {f"hsc_{b}": np.where(np.arange(5) == 2, np.nan, mags[f"hsc_{b}"]) for b in "gri"}
    z[3] = np.nan
    found = grid.fit(mags, z)
    assert_within([found[1]], [0.0], 0.11, "type")
    assert np.isnan(found[[2, 3]]).all() and np.isfinite(found[[0, 1, 4]]).all()


def test_real_galaxies_are_of_all_types_but_mostly_late(real_data):
    from darkhaloscope.survey.cosmos import RealGalaxies

    galaxies = RealGalaxies(
        real_data / "hst_cosmos_100", stamp_size=64, pixel_scale=0.03, psf_fwhm=0.15
    )
    mags = {f"hsc_{b}": galaxies.column(f"mag_{b}") for b in "griz"}
    kinds = colour_grid().fit(mags, galaxies.column("z"))
    assert np.isfinite(kinds).sum() >= 95
    assert -0.5 < np.nanmedian(kinds) < 0.8
    assert 0.02 < np.mean(kinds > 2) < 0.3


def test_a_galaxy_that_is_not_moved_keeps_size_and_brightness():
    grid, z = colour_grid(), np.array([0.5, 1.0, 2.0])
    kinds, size = np.full(3, 0.5), np.full(3, 0.3)
    assert_within(moved_size(size, z, z, np.ones(3), grid), size, 1e-12, "size")
    difference = grid.mag("r", kinds, z) - grid.mag("f814w", kinds, z)
    assert_within(moved_mag(np.full(3, 23.0), kinds, z, z, grid), 23 + difference, 1e-12, "r")


def test_moving_follows_the_distances():
    grid = colour_grid()
    got = moved_size(np.array([0.3]), np.array([0.5]), np.array([2.0]), np.ones(1), grid)
    near, far = (Planck18.angular_diameter_distance(z).value for z in (0.5, 2.0))
    assert_ratio(got[0] / 0.3, near / far * (3 / 1.5) ** -0.75, 0.003, "size")
    dimmer = grid.distance_modulus(np.array(2.0)) - grid.distance_modulus(np.array(0.5))
    want = Planck18.distmod(2.0).value - Planck18.distmod(0.5).value
    assert_within(dimmer, want, 0.003, "distance modulus")
    bright = moved_size(np.array([0.3]), np.array([1.0]), np.array([1.0]), np.array([10.0]), grid)
    assert_ratio(bright[0], 0.3 * 10**0.22, 1e-9, "size of ten times the light")


def test_no_drawn_colour_is_one_that_no_galaxy_has():
    """0 of 87 spectroscopic galaxies have g-r < -0.1; the plan's offsets give -0.30."""
    rng = np.random.default_rng(2)
    u, z = rng.random((3, 20000)), rng.uniform(0.6, 3.5, 20000)
    gr, rz = draw_colours(draw_types(u[0]), z, u[1], u[2], colour_grid())
    assert (gr < -0.1).mean() < 0.05
    assert gr.min() > -0.5 and rz.min() > -0.5


def test_the_plans_offsets_are_kept_for_its_ablation():
    gr, rz = offset_colours(np.array([0.6, 1.0, 2.0, 3.0, 3.9]))
    assert_within(gr, [-0.30, -0.30, -0.345, -0.39, -0.39], 1e-12, "g-r")
    assert_within(rz, [-0.20, -0.20, -0.22, -0.24, -0.24], 1e-12, "r-z")


def test_types_are_ordered_from_blue_to_red():
    grid = colour_grid()
    for z in (0.3, 0.8, 1.2):
        colour = grid.mag("r", TYPES, z) - grid.mag("z", TYPES, z)
        assert (np.diff(colour) > 0).all()
