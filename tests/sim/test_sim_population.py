"""The population of lenses and sources follows the settings it is given."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest, spearmanr, truncnorm

from darkhaloscope.config import Plan
from darkhaloscope.sim.population import (
    N_UNIFORMS,
    SourceTemplates,
    discoverable,
    draw_lenses,
    draw_sources,
    observed_fluxes,
    truncated_normal,
)
from darkhaloscope.survey.sed import colour_grid
from tolerance import assert_ratio, assert_within

N = 20_000


@pytest.fixture(scope="module")
def u() -> np.ndarray:
    return np.random.default_rng(7).random((N, N_UNIFORMS))


def _made(hlr) -> SourceTemplates:
    """Templates of which nothing is known but their size."""
    none = np.full(N, np.nan)
    return SourceTemplates(np.broadcast_to(hlr, N).astype(float), none, none, none, np.zeros(N))


def _hosts(n=N, q=0.75):
    return {
        "host_q": np.full(n, q),
        "host_phi_rad": np.full(n, 0.4),
        "host_center_x_arcsec": np.linspace(-0.1, 0.1, n),
        "host_center_y_arcsec": np.linspace(0.2, -0.2, n),
    }


@given(
    u=st.floats(0, 1),
    mean=st.floats(-5, 5),
    sigma=st.floats(0, 3),
    low=st.floats(-4, 0),
    width=st.floats(0.1, 5),
)
def test_truncated_normal_stays_inside(u, mean, sigma, low, width):
    value = truncated_normal(np.array([u]), mean, sigma, low, low + width)
    assert low <= value[0] <= low + width


def test_truncated_normal_is_scipys():
    u = np.linspace(0.001, 0.999, 99)
    want = truncnorm.ppf(u, (0.3 - 0.8) / 0.2, (1.0 - 0.8) / 0.2, loc=0.8, scale=0.2)
    assert_within(truncated_normal(u, 0.8, 0.2, 0.3, 1.0), want, 1e-9, "quantiles")


def test_without_scatter_the_mean_itself():
    assert_within(truncated_normal(np.array([0.1, 0.9]), 0.6, 0, 0, 1), [0.6, 0.6], 0, "mean")
    assert_within(truncated_normal(np.array([0.1]), 1.4, 0, 0, 1), [1.0], 0, "clipped mean")


def test_lenses_follow_the_settings(u):
    cfg = Plan(
        theta_E_median_arcsec=1.2, theta_E_scatter=0.25, theta_E_min_arcsec=0.8,
        theta_E_max_arcsec=2.2, shear_sigma=0.04, q_scatter=0.1, phi_scatter_deg=12.0,
    )  # fmt: skip
    lens = draw_lenses(u, _hosts(), cfg)
    theta_E = lens["theta_E_arcsec"]
    bounds = [(math.log(v) - math.log(1.2)) / 0.25 for v in (0.8, 2.2)]
    law = truncnorm(*bounds, loc=math.log(1.2), scale=0.25)
    assert theta_E.min() >= 0.8 and theta_E.max() <= 2.2
    assert kstest(np.log(theta_E), law.cdf).pvalue > 1e-3
    for name in ("gamma1", "gamma2"):
        assert kstest(lens[name] / 0.04, "norm").pvalue > 1e-3
    turn = np.degrees(lens["lens_phi_rad"] - 0.4)
    assert kstest(turn / 12.0, "norm").pvalue > 1e-3
    q = lens["lens_q"]
    assert q.min() >= 0.3 and q.max() <= 1.0
    assert_within(np.median(q), 0.75, 0.01, "median q")
    assert_within(lens["lens_center_x_arcsec"], _hosts()["host_center_x_arcsec"], 0, "centre x")
    assert_within(lens["lens_center_y_arcsec"], _hosts()["host_center_y_arcsec"], 0, "centre y")


def test_default_einstein_radii_are_those_of_discoverable_lenses(u):
    """EVIDENCE section 4, before the cut that favours the large: 16/50/84 % .95/1.29/1.75."""
    theta_E = draw_lenses(u, _hosts(), Plan())["theta_E_arcsec"]
    assert_ratio(
        np.percentile(theta_E, [16, 50, 84]), [0.95, 1.29, 1.75], 0.05, "theta_E quantiles"
    )


def test_sources_follow_the_settings(u):
    cfg = Plan(source_mag_r_median=24.0, source_mag_r_scatter=0.8, size_factor_median=0.6,
               size_factor_scatter=0.2, max_offset=0.7, z_source_median=1.9)  # fmt: skip
    theta_E, hlr = np.linspace(0.7, 2.0, N), np.linspace(0.1, 0.5, N)
    source = draw_sources(u, theta_E, _made(hlr), cfg, colour_grid())
    assert kstest((source["source_mag_r"] - 24.0) / 0.8, "norm").pvalue > 1e-3
    size = np.log(source["source_hlr_arcsec"] / hlr / 0.6) / 0.2
    assert kstest(size, "norm").pvalue > 1e-3
    assert kstest(source["source_phi_rad"] / (2 * math.pi), "uniform").pvalue > 1e-3
    z = source["z_source"]
    assert z.min() >= 0.5 and z.max() <= 4.0
    assert_within(np.median(z), 1.9, 0.04, "median redshift")


def test_sources_are_uniform_in_area_behind_the_lens(u):
    theta_E = np.full(N, 1.4)
    source = draw_sources(u, theta_E, _made(0.3), Plan(max_offset=0.8), colour_grid())
    x, y = source["source_x_arcsec"], source["source_y_arcsec"]
    radius = np.hypot(x, y) / (0.8 * 1.4)
    assert radius.max() <= 1
    assert kstest(radius**2, "uniform").pvalue > 1e-3  # uniform in radius would fail
    assert kstest(np.arctan2(y, x) / (2 * math.pi) + 0.5, "uniform").pvalue > 1e-3


def test_every_number_of_a_scene_is_its_own(u):
    """Two columns from one uniform would correlate perfectly."""
    lens = draw_lenses(u, _hosts(), Plan())
    source = draw_sources(u, np.full(N, 1.3), _made(0.3), Plan(), colour_grid())
    columns = {
        k: v for k, v in (lens | source).items() if k.startswith(("theta", "gamma", "source_", "z"))
    }
    colour = ("source_g_minus_r", "source_r_minus_z", "source_type", "z_source")
    tied = {(a, b) for a in colour for b in colour}
    names = sorted(columns)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            if (one, other) not in tied:
                rho = spearmanr(columns[one], columns[other]).statistic
                assert abs(rho) < 0.04, (one, other, rho)


def test_fluxes_have_the_colours_and_the_milky_way():
    clear = observed_fluxes(np.array([22.5]), np.array([0.5]), np.array([1.0]), np.array([0.0]))
    assert_ratio([clear[b][0] for b in "grz"], [10**-0.2, 1, 10**0.4], 1e-12, "flux")
    dusty = observed_fluxes(np.array([22.5]), np.array([0.5]), np.array([1.0]), np.array([0.1]))
    dimming = [-2.5 * math.log10(dusty[b][0] / clear[b][0]) for b in "grz"]
    assert_within(dimming, [0.3214, 0.2165, 0.1211], 1e-9, "A_b at E(B-V) 0.1")


@pytest.mark.parametrize(
    ("magnification", "arc", "host", "kept"),
    [
        (5.0, 22.0, 21.0, True),
        (2.9, 22.0, 21.0, False),  # not magnified enough
        (3.0, 22.0, 21.0, True),
        (5.0, 19.9, 20.0, False),  # too bright
        (5.0, 23.1, 21.0, False),  # too faint
        (5.0, 20.9, 21.0, False),  # outshines its host
        (5.0, 21.1, 21.0, True),
        (5.0, 22.0, math.nan, True),  # host magnitude not known
        (math.nan, 22.0, 21.0, False),
        (5.0, math.nan, 21.0, False),
    ],
)
def test_every_cut_of_discoverability(magnification, arc, host, kept):
    got = discoverable(np.array([magnification]), np.array([arc]), np.array([host]), Plan())
    assert bool(got[0]) is kept


def test_the_cuts_come_from_the_settings():
    cfg = Plan(
        min_magnification=8, arc_mag_r_min=21, arc_mag_r_max=21.5, min_arc_minus_host_mag=1.0
    )
    magnification = np.array([9, 7, 9, 9, 9])
    arc = np.array([21.2, 21.2, 20.9, 21.6, 21.2])
    host = np.array([20, 20, 19, 20, 20.5])
    got = discoverable(magnification, arc, host, cfg)
    assert got.tolist() == [True, False, False, False, False]


@pytest.mark.parametrize(("mean", "end"), [(6.0, 4.0), (-3.0, 0.5)])
def test_a_mean_far_outside_the_range_gives_the_nearer_end(mean, end):
    values = truncated_normal(np.linspace(0.01, 0.99, 50), mean, 0.05, 0.5, 4.0)
    assert_within(values, np.full(50, end), 0.05, "values")


def _known(z=0.9, mag=23.5, kind=0.3) -> SourceTemplates:
    return SourceTemplates(*(np.full(N, value) for value in (0.3, z, mag, kind, 0.0)))


def test_a_template_of_known_redshift_is_moved(u):
    """Farther and at one magnitude: more luminous, so larger; but of an earlier, smaller epoch."""
    source = draw_sources(u, np.full(N, 1.3), _known(), Plan(), colour_grid())
    z, size = source["z_source"], source["source_hlr_arcsec"] / 0.3
    near = np.abs(z - 0.9) < 0.05
    same = near & (np.abs(source["source_mag_r"] - 24.1) < 0.3)
    assert same.sum() > 5
    assert 0.85 < np.median(size[same]) < 1.2  # hardly moved
    assert spearmanr(source["source_mag_r"], size).statistic < -0.4  # brighter is larger
    assert 0.3 < np.percentile(size, 1) < np.percentile(size, 99) < 3


def test_the_catalogues_magnitude_is_carried_to_the_sources_redshift(u):
    grid, cfg = colour_grid(), Plan(source_mag_model="catalogue")
    source = draw_sources(u, np.full(N, 1.3), _known(), cfg, grid)
    z = source["z_source"]
    faintness = [
        np.median(source["source_mag_r"][(z > a) & (z < a + 0.2)]) for a in (0.9, 1.5, 2.5)
    ]
    assert faintness[0] < faintness[1] < faintness[2]
    assert_within(faintness[0], 24.3, 0.5, "r of a galaxy of F814W = 23.5, hardly moved")
    plain = draw_sources(u, np.full(N, 1.3), _made(0.3), cfg, grid)  # nothing known: as drawn
    assert_within(np.median(plain["source_mag_r"]), cfg.source_mag_r_median, 0.1, "median")


def test_the_fitted_type_gives_the_colours_unless_another_model_is_asked(u):
    red, grid = _known(kind=3.0), colour_grid()
    fitted, drawn, offsets = (
        draw_sources(u, np.full(N, 1.3), red, Plan(colour_model=model), grid)
        for model in ("catalogue", "template", "offsets")
    )
    assert (fitted["source_type"] == 3.0).all() and np.median(drawn["source_type"]) < 0.6
    low = fitted["z_source"] < 1.5
    assert (
        np.median(fitted["source_r_minus_z"][low]) > np.median(drawn["source_r_minus_z"][low]) + 1
    )
    assert (offsets["source_g_minus_r"] <= -0.30).all()


def test_a_bulge_is_redder_than_its_disc_and_a_galaxy_of_one_colour_has_none(u):
    bulgy = SourceTemplates(*(np.full(N, v) for v in (0.3, np.nan, np.nan, np.nan, 0.25)))
    grid = colour_grid()
    source = draw_sources(u, np.full(N, 1.3), bulgy, Plan(), grid)
    g, r, z = (source[f"bulge_fraction_{band}"] for band in "grz")
    assert_within(r, np.full(N, 0.25), 1e-12, "share in r")
    assert np.median(z) > 0.28 and np.median(g) < 0.24
    flat = draw_sources(u, np.full(N, 1.3), bulgy, Plan(bulge_redder=0), grid)
    assert_within(flat["bulge_fraction_z"], np.full(N, 0.25), 1e-12, "share without gradient")
    plain = draw_sources(u, np.full(N, 1.3), _made(0.3), Plan(), grid)
    assert not plain["bulge_fraction_g"].any()
