"""Columns become scenes."""

import numpy as np
import torch

from darkhaloscope.sim.rows import part_shares, scenes_of
from tolerance import assert_within


def _columns(*kinds):
    n = len(kinds)
    value = np.arange(1.0, n + 1)
    per_band = {
        name.format(b=b): value * (i + 1) / 10
        for name in ("source_flux_{b}_nmgy", "psf_fwhm_{b}_arcsec")
        for i, b in enumerate("grz")
    }
    per_band |= {f"psf_{e}_{b}": 0 * value for e in ("e1", "e2") for b in "grz"}
    return per_band | {
        "kind": np.array(kinds, object),
        "theta_E_arcsec": 1.1 * value,
        "lens_q": 0.2 * value,
        "lens_phi_rad": 0.3 * value,
        "lens_center_x_arcsec": 0.01 * value,
        "lens_center_y_arcsec": 0.02 * value,
        "gamma1": 0.03 * value,
        "gamma2": -0.04 * value,
        "source_x_arcsec": 0.5 * value,
        "source_y_arcsec": -0.6 * value,
        "source_phi_rad": 0.7 * value,
        "source_hlr_arcsec": 0.2 * value,
        "magnification": 5.0 * value,
    }


def test_a_lens_row_is_its_columns():
    columns = _columns("lens", "lens")
    got = scenes_of(columns, np.array([4, 7]), np.array([0.4, 0.8]), 0.03)
    for field, column in {
        "theta_E": "theta_E_arcsec",
        "q": "lens_q",
        "phi": "lens_phi_rad",
        "center_x": "lens_center_x_arcsec",
        "center_y": "lens_center_y_arcsec",
        "gamma1": "gamma1",
        "gamma2": "gamma2",
        "source_x": "source_x_arcsec",
        "source_y": "source_y_arcsec",
        "source_phi": "source_phi_rad",
    }.items():
        assert_within(getattr(got, field), columns[column], 0, field)
    assert got.template.tolist() == [4, 7] and got.template.dtype == torch.int64
    assert_within(got.flux, [[0.1, 0.2, 0.3], [0.2, 0.4, 0.6]], 1e-15, "flux g r z")
    assert_within(got.psf_fwhm, [[0.1, 0.2, 0.3], [0.2, 0.4, 0.6]], 1e-15, "PSF g r z")


def test_a_template_is_scaled_to_the_sources_radius():
    """A template of 0.4 arcsec at 0.03 a pixel, shown at 0.2 arcsec, has pixels of 0.015."""
    got = scenes_of(_columns("lens", "lens"), np.array([0, 0]), np.array([0.4, 0.8]), 0.03)
    assert_within(got.source_scale, [0.015, 0.015], 1e-15, "template pixel on the sky")


def test_an_unlensed_row_has_the_lenss_flux_and_no_deflection():
    lens, beside = (
        scenes_of(_columns(kind), np.array([1]), np.array([0.3]), 0.03)
        for kind in ("lens", "unlensed")
    )
    assert_within([beside.theta_E, beside.gamma1, beside.gamma2], np.zeros((3, 1)), 0, "deflection")
    assert_within(beside.flux, 5.0 * lens.flux, 1e-12, "total flux")
    for name in ("q", "center_x", "center_y", "source_phi", "source_scale", "psf_fwhm"):
        assert_within(getattr(beside, name), getattr(lens, name), 0, name)


def test_columns_are_not_changed():
    columns = _columns("lens", "unlensed")
    before = {name: values.copy() for name, values in columns.items()}
    scenes_of(columns, np.array([0, 1]), np.array([0.3, 0.3]), 0.03)
    for name, values in columns.items():
        assert (values == before[name]).all(), name


def test_parts_of_a_source_add_up_to_its_flux_in_every_band():
    shares = {"bulge_fraction_g": [0.1, 0.0], "bulge_fraction_r": [0.2, 0.0],
              "bulge_fraction_z": [0.35, 0.0]}  # fmt: skip
    columns = {name: np.array(values) for name, values in shares.items()}
    whole, bulge = np.moveaxis(part_shares(columns), -1, 0)
    assert_within(whole + bulge, np.ones((2, 3)), 1e-12, "flux")
    assert_within(bulge[:, 1], np.zeros(2), 1e-12, "in r the template is all")
    assert_within(whole[1], np.ones(3), 1e-12, "without a bulge the template is all")
    assert bulge[0, 0] < 0 < bulge[0, 2]
    in_bulge = bulge + 0.2 * whole  # what the template's own bulge and the added one hold
    assert_within(in_bulge[0], [0.1, 0.2, 0.35], 1e-12, "shares")
