"""The second opinion agrees with the renderer, and not with one that is wrong."""

import sys

import numpy as np
import pytest

from darkhaloscope.evaluate.findings import Level
from darkhaloscope.evaluate.peer import against_lenstronomy
from darkhaloscope.io.bank import read_bank
from darkhaloscope.jobs.light import render_rows
from darkhaloscope.jobs.looks import look_at


@pytest.fixture
def scene(stamps, inputs):
    """Some lens rows, their templates and the side of a template pixel."""
    columns = look_at(stamps).sample
    lens = np.flatnonzero(columns["kind"] == "lens")[:6]
    rows = {name: values[lens] for name, values in columns.items()}
    bank = read_bank(inputs / "bank.h5")
    index = rows["template_index"]
    scale = bank.pixel_scale * rows["source_hlr_arcsec"] / bank.columns["hlr_arcsec"][index]
    return rows, bank, bank.templates(index), scale


def _light(rows, bank, **columns) -> np.ndarray:
    return render_rows(rows | columns, bank, np.ones(len(rows["kind"]), bool))


def test_the_renderer_is_confirmed(scene):
    pytest.importorskip("lenstronomy")
    rows, bank, templates, scale = scene
    found = against_lenstronomy(rows, _light(rows, bank), templates, scale)
    assert found.level is Level.PASS, found.measured
    assert found.n == len(np.unique(rows["host_id"].astype(str)))


@pytest.mark.parametrize("fault", ["sqrt q", "phi", "shear", "psf", "flux"])
def test_a_wrong_renderer_is_not(scene, fault):
    pytest.importorskip("lenstronomy")
    rows, bank, templates, scale = scene
    wrong = {
        "sqrt q": {"theta_E_arcsec": rows["theta_E_arcsec"] / np.sqrt(rows["lens_q"])},
        "phi": {"lens_phi_rad": -rows["lens_phi_rad"]},
        "shear": {"gamma1": -rows["gamma1"], "gamma2": -rows["gamma2"]},
        "psf": {"psf_fwhm_r_arcsec": 0.8 * rows["psf_fwhm_r_arcsec"]},
        "flux": {"source_flux_r_nmgy": 0.9 * rows["source_flux_r_nmgy"]},
    }[fault]
    found = against_lenstronomy(rows, _light(rows, bank, **wrong), templates, scale)
    assert found.level is Level.FAIL, found.measured


def test_without_lenstronomy_the_gate_says_so(scene, monkeypatch):
    monkeypatch.setitem(sys.modules, "lenstronomy", None)
    rows, _, templates, scale = scene
    found = against_lenstronomy(rows, np.zeros((6, 3, 1, 1)), templates, scale)
    assert found.level is Level.SKIP and "pip install" in found.advice


def test_psf_images_are_left_out(scene):
    pytest.importorskip("lenstronomy")
    rows, _, templates, scale = scene
    rows["psf_model"][:] = "image"
    assert against_lenstronomy(rows, np.zeros(1), templates, scale).level is Level.SKIP
