"""The population of lenses and sources follows the settings it is given."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest, spearmanr, truncnorm

from darkhaloscope.config import Plan
from darkhaloscope.sim.masses import redshift_chances
from darkhaloscope.sim.population import (
    N_UNIFORMS,
    SourceTemplates,
    bright_sources,
    chance_to_keep,
    dereddened,
    draw_lenses,
    draw_sources,
    observed_fluxes,
    source_bulges,
    source_colours,
    source_window,
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
        "host_mag_g": np.full(n, 21.9),
        "host_mag_r": np.full(n, 20.2),
        "host_mag_z": np.full(n, 19.1),
        "ebv_mag": np.zeros(n),
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


def _lenses(u, cfg, hosts=None):
    hosts = _hosts() if hosts is None else hosts
    redshifts = redshift_chances(dereddened(hosts), colour_grid())
    return draw_lenses(u, hosts, redshifts, cfg, colour_grid())


def test_lenses_follow_the_settings(u):
    cfg = Plan(
        theta_E_min_arcsec=0.8, theta_E_max_arcsec=2.2, shear_sigma=0.04, q_scatter=0.1,
        phi_scatter_deg=12.0,
    )  # fmt: skip
    fits, lens = _lenses(u, cfg)
    theta_E = lens["theta_E_arcsec"]
    assert fits.mean() > 0.9
    assert theta_E.min() >= 0.8 - 1e-9 and theta_E.max() <= 2.2 + 1e-9
    for name in ("gamma1", "gamma2"):
        assert kstest(lens[name] / 0.04, "norm").pvalue > 1e-3
    turn = np.degrees(lens["lens_phi_rad"] - 0.4)
    assert kstest(turn / 12.0, "norm").pvalue > 1e-3
    q = lens["lens_q"]
    assert q.min() >= 0.3 and q.max() <= 1.0
    assert_within(np.median(q), 0.75, 0.01, "median q")
    assert_within(lens["lens_center_x_arcsec"], _hosts()["host_center_x_arcsec"], 0, "centre x")
    assert_within(lens["lens_center_y_arcsec"], _hosts()["host_center_y_arcsec"], 0, "centre y")


def test_einstein_radii_are_those_of_the_dispersions(u):
    """4 pi (sigma/c)**2 D_ls/D_s, against astropy's distances."""
    from astropy.cosmology import Planck18

    _, lens = _lenses(u[:200], Plan(), _hosts(200))
    z_l, z_s = lens["z_lens"], lens["z_source"]
    far = Planck18.angular_diameter_distance
    ratio = far(z_l, z_s) / far(z_s)
    want = 4 * math.pi * (lens["sigma_v_kms"] / 299792.458) ** 2 * ratio.value
    assert_ratio(lens["theta_E_arcsec"], np.degrees(want) * 3600, 0.01, "theta_E")
    assert (z_s > z_l).all()


def test_hosts_of_unknown_magnitude_lens_as_those_that_are_found(u):
    hosts = _hosts() | {f"host_mag_{band}": np.full(N, np.nan) for band in "grz"}
    _, lens = _lenses(u, Plan(theta_E_min_arcsec=0.01, theta_E_max_arcsec=9), hosts)
    assert_ratio(np.median(lens["z_lens"]), 0.43, 0.05, "median redshift")
    assert_ratio(np.median(lens["sigma_v_kms"]), 270, 0.02, "median dispersion")


def test_brighter_hosts_are_heavier(u):
    faint = _lenses(u, Plan(theta_E_min_arcsec=0.01, theta_E_max_arcsec=9))[1]["sigma_v_kms"]
    bright = _hosts() | {f"host_mag_{b}": _hosts()[f"host_mag_{b}"] - 1.0 for b in "grz"}
    heavy = _lenses(u, Plan(theta_E_min_arcsec=0.01, theta_E_max_arcsec=9), bright)[1]
    assert 1.15 < np.median(heavy["sigma_v_kms"]) / np.median(faint) < 1.35  # 10**0.102 = 1.26


def _sources(u, z, template, cfg, grid) -> dict[str, np.ndarray]:
    source = draw_sources(u, z, template, cfg, grid) | {"z_source": z}
    source |= source_colours(u, source, cfg, grid)
    return source | source_bulges(source, template, cfg, grid)


def test_sources_follow_the_settings(u):
    cfg = Plan(source_mag_r_median=24.0, source_mag_r_scatter=0.8, size_factor_median=0.6,
               size_factor_scatter=0.2)  # fmt: skip
    hlr = np.linspace(0.1, 0.5, N)
    source = _sources(u, np.full(N, 1.9), _made(hlr), cfg, colour_grid())
    assert kstest((source["source_mag_r"] - 24.0) / 0.8, "norm").pvalue > 1e-3
    size = np.log(source["source_hlr_arcsec"] / hlr / 0.6) / 0.2
    assert kstest(size, "norm").pvalue > 1e-3
    assert kstest(source["source_phi_rad"] / (2 * math.pi), "uniform").pvalue > 1e-3


def test_every_number_of_a_scene_is_its_own(u):
    """Two columns from one uniform would correlate perfectly."""
    _, lens = _lenses(u, Plan())
    source = _sources(u, lens["z_source"], _made(0.3), Plan(), colour_grid())
    columns = {
        k: v
        for k, v in (lens | source).items()
        if k.startswith(("gamma", "lens_q", "source_", "sigma", "z"))
    }
    colour = ("source_g_minus_r", "source_r_minus_z", "source_type", "z_source")
    tied = {(a, b) for a in colour for b in colour} | {
        ("z_lens", "z_source"), ("sigma_v_kms", "z_lens"),
    } | {("sigma_v_kms", name) for name in colour}  # fmt: skip
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


def test_a_source_fits_where_its_arc_does():
    """Arcs of 20 to 23 mag, none brighter than its host; dust dims what is seen, not the host."""
    host = {
        "host_mag_r": np.array([21.0, 19.0, np.nan, 23.5]),
        "ebv_mag": np.array([0.0, 0.1, 0.0, 0.0]),
    }
    low, high = source_window(np.full(4, 10.0), host, Plan())
    assert_within(low, [23.5, 22.5 - 0.2165, 22.5, 26.0], 1e-9, "brightest")
    assert_within(high, [25.5, 25.5 - 0.2165, 25.5, 25.5], 1e-9, "faintest")
    assert (low < high).tolist() == [True, True, True, False]


def test_sources_that_are_kept_follow_the_window(u):
    """Drawn within the window as a normal is there; kept as often as the normal has such."""
    cfg = Plan(source_mag_r_median=24.2, source_mag_r_scatter=1.0)
    host = {"host_mag_r": np.full(N, 20.5), "ebv_mag": np.zeros(N)}
    low, high = source_window(np.full(N, 4.0), host, cfg)
    mag = bright_sources(u[:, 12], np.full(N, 0.0), low, high, cfg)
    law = truncnorm(low[0] - 24.2, high[0] - 24.2, loc=24.2, scale=1.0)
    assert kstest(mag, law.cdf).pvalue > 1e-3
    chance = [
        chance_to_keep(mag[:1], np.array([m]), {k: v[:1] for k, v in host.items()}, cfg)[0]
        for m in (2.0, 4.0, 10.0)
    ]
    assert chance[0] < chance[1] < chance[2] == 1.0


def test_templates_with_magnitudes_of_their_own_are_kept_where_these_fit():
    cfg = Plan(source_mag_model="catalogue")
    host = {"host_mag_r": np.full(3, 20.5), "ebv_mag": np.zeros(3)}
    mag = np.array([22.0, 24.0, 26.0])
    assert chance_to_keep(mag, np.full(3, 5.0), host, cfg).tolist() == [0.0, 1.0, 0.0]
    assert bright_sources(np.full(3, 0.5), mag, mag - 1, mag + 1, cfg).tolist() == mag.tolist()


@pytest.mark.parametrize(("mean", "end"), [(6.0, 4.0), (-3.0, 0.5)])
def test_a_mean_far_outside_the_range_gives_the_nearer_end(mean, end):
    values = truncated_normal(np.linspace(0.01, 0.99, 50), mean, 0.05, 0.5, 4.0)
    assert_within(values, np.full(50, end), 0.05, "values")


def _known(z=0.9, mag=23.5, kind=0.3) -> SourceTemplates:
    return SourceTemplates(*(np.full(N, value) for value in (0.3, z, mag, kind, 0.0)))


def test_a_template_of_known_redshift_is_moved(u):
    """Farther and at one magnitude: more luminous, so larger; but of an earlier, smaller epoch."""
    z = np.linspace(0.7, 3.0, N)
    source = _sources(u, z, _known(), Plan(), colour_grid())
    size = source["source_hlr_arcsec"] / 0.3
    near = np.abs(z - 0.9) < 0.05
    same = near & (np.abs(source["source_mag_r"] - 24.1) < 0.3)
    assert same.sum() > 5
    assert 0.85 < np.median(size[same]) < 1.2  # hardly moved
    assert spearmanr(source["source_mag_r"], size).statistic < -0.4  # brighter is larger
    assert 0.3 < np.percentile(size, 1) < np.percentile(size, 99) < 3


def test_the_catalogues_magnitude_is_carried_to_the_sources_redshift(u):
    grid, cfg = colour_grid(), Plan(source_mag_model="catalogue")
    z = np.linspace(0.7, 3.0, N)
    source = _sources(u, z, _known(), cfg, grid)
    faintness = [
        np.median(source["source_mag_r"][(z > a) & (z < a + 0.2)]) for a in (0.9, 1.5, 2.5)
    ]
    assert faintness[0] < faintness[1] < faintness[2]
    assert_within(faintness[0], 24.3, 0.5, "r of a galaxy of F814W = 23.5, hardly moved")
    plain = _sources(u, np.full(N, 1.3), _made(0.3), cfg, grid)  # nothing known: as drawn
    assert_within(np.median(plain["source_mag_r"]), cfg.source_mag_r_median, 0.1, "median")


def test_the_fitted_type_gives_the_colours_unless_another_model_is_asked(u):
    red, grid, z = _known(kind=3.0), colour_grid(), np.linspace(0.7, 3.0, N)
    fitted, drawn, offsets = (
        _sources(u, z, red, Plan(colour_model=model), grid)
        for model in ("catalogue", "template", "offsets")
    )
    assert (fitted["source_type"] == 3.0).all() and np.median(drawn["source_type"]) < 0.6
    low = z < 1.5
    assert (
        np.median(fitted["source_r_minus_z"][low]) > np.median(drawn["source_r_minus_z"][low]) + 1
    )
    assert (offsets["source_g_minus_r"] <= -0.30).all()


def test_a_bulge_is_redder_than_its_disc_and_a_galaxy_of_one_colour_has_none(u):
    bulgy = SourceTemplates(*(np.full(N, v) for v in (0.3, np.nan, np.nan, np.nan, 0.25)))
    grid = colour_grid()
    source = _sources(u, np.full(N, 1.3), bulgy, Plan(), grid)
    g, r, z = (source[f"bulge_fraction_{band}"] for band in "grz")
    assert_within(r, np.full(N, 0.25), 1e-12, "share in r")
    assert np.median(z) > 0.28 and np.median(g) < 0.24
    flat = _sources(u, np.full(N, 1.3), bulgy, Plan(bulge_redder=0), grid)
    assert_within(flat["bulge_fraction_z"], np.full(N, 0.25), 1e-12, "share without gradient")
    plain = _sources(u, np.full(N, 1.3), _made(0.3), Plan(), grid)
    assert not plain["bulge_fraction_g"].any()
