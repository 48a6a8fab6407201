"""Every gate sees the fault it exists for, and only the gates that should fire do."""

import numpy as np
import pytest

from darkhaloscope.evaluate.findings import Level
from darkhaloscope.evaluate.gates import judge
from darkhaloscope.jobs.stamps import read_columns


@pytest.fixture
def columns(stamps):
    return {name: values.copy() for name, values in read_columns(stamps).items()}


def _failing(columns) -> set[str]:
    return {f.gate for f in judge(columns) if f.level is Level.FAIL}


def test_a_healthy_set_passes_every_gate(columns):
    findings = judge(columns)
    assert not [f for f in findings if f.level is Level.FAIL]
    unsure = {f.gate for f in findings if f.level is Level.WARN}
    assert unsure <= {"probe.core", "probe.outer", "probe.total", "probe.sky"}  # 24 hosts are few
    assert {f.level for f in findings} <= {Level.PASS, Level.INFO, Level.WARN}
    assert all(f.n == 24 for f in findings)


def _nan_pixels(c):
    c["metric.bad_pixels"][3] = 7


def _doubled_row(c):
    for name, values in c.items():
        c[name] = np.concatenate([values, values[:1]])


def _lost_lens(c):
    keep = ~((c["kind"] == "lens") & (c["host_id"] == c["host_id"][0]))
    for name, values in c.items():
        c[name] = values[keep]


def _null_for_controls(c):
    c["arc_snr"][c["kind"] == "host"] = np.nan


def _null_for_a_kind_that_few_pairs_have(c):
    (spirals,) = np.nonzero(c["kind"] == "spiral")
    c["kind"][spirals[:-2]] = "gone"
    keep = c["kind"] != "gone"
    for name, values in c.items():
        c[name] = values[keep]
    c["arc_snr"][c["kind"] == "spiral"] = np.nan


def _swapped_labels(c):
    c["label"][:] = 1 - c["label"]


def _surface_brightness_as_flux(c):
    """INTERPOL fed with unit-flux pixels: fainter by the template's pixel area."""
    c["flux_inside"][c["kind"] == "lens"] *= 0.03**2


def _arc_on_a_control(c):
    c["arc_flux_g_nmgy"][c["kind"] == "host"] = 0.3


def _noise_added_twice(c):
    c["metric.sky_sigma_z"][c["kind"] == "lens"] *= np.sqrt(2)


def _arcs_too_faint(c):
    c["arc_snr"][c["kind"] == "lens"] *= 0.01


def _arcs_outshine_hosts(c):
    c["arc_flux_r_nmgy"][c["kind"] == "lens"] *= 20


def _unresolved_lenses(c):
    c["theta_E_arcsec"] *= 0.3


def _offset_colours(c):
    c["source_r_minus_z"][:] = -0.24


def _brighter_hosts_for_lenses(c):
    c["host_mag_r"][c["kind"] == "lens"] -= 1.0


def _seeing_selected_lenses(c):
    c["psf_fwhm_r_arcsec"][c["kind"] == "lens"] *= 0.8


def _host_in_two_splits(c):
    c["split"][0] = "test" if c["split"][0] != "test" else "train"


def _zeroed_stamps(c):
    for name in ("core", "arc", "outer", "total"):
        c[f"metric.{name}"][:] = 0.0


def _bright_outskirts(c):
    c["metric.outer"][c["kind"] == "lens"] += 0.01


def _flux_not_matched(c):
    c["metric.total"][c["kind"] == "lens"] += 100.0


def _bright_cores(c):
    c["metric.core"][c["kind"] == "lens"] += 10.0


@pytest.mark.parametrize(
    ("plant", "gate"),
    [
        (_nan_pixels, "integrity.finite_pixels"),
        (_doubled_row, "integrity.unique_tasks"),
        (_lost_lens, "integrity.complete_pairs"),
        (_null_for_controls, "integrity.equal_nullity"),
        (_null_for_a_kind_that_few_pairs_have, "integrity.equal_nullity"),
        (_swapped_labels, "integrity.label"),
        (_surface_brightness_as_flux, "physics.flux_is_magnified"),
        (_arc_on_a_control, "physics.hosts_untouched"),
        (_noise_added_twice, "realism.sky_noise"),
        (_arcs_too_faint, "realism.arc_snr"),
        (_arcs_outshine_hosts, "realism.arc_host"),
        (_unresolved_lenses, "realism.theta_E"),
        (_offset_colours, "realism.source_colours"),
        (_brighter_hosts_for_lenses, "balance.hosts"),
        (_seeing_selected_lenses, "balance.hosts"),
        (_host_in_two_splits, "balance.splits"),
        (_zeroed_stamps, "probe.arc_control"),
        (_bright_outskirts, "probe.outer"),
        (_flux_not_matched, "probe.total"),
        (_bright_cores, "probe.core"),
    ],
)
def test_a_planted_fault_fires_its_gate(columns, plant, gate):
    plant(columns)
    failing = _failing(columns)
    assert gate in failing
    others = {name for name in failing if name.startswith("integrity.")} - {gate}
    allowed = {"integrity.complete_pairs", "integrity.equal_within_pairs"}
    assert others <= allowed, "a doubled row also breaks its pair, a telling column its equality"


@pytest.mark.parametrize(
    ("name", "kind", "value"),
    [
        ("psf_fwhm_g_arcsec", "lens", 1.7),
        ("host_q", "lens", 0.99),
        ("nexp_g", "lens", 9),
        ("electrons_per_nmgy_z", "unlensed", 7.0),
        ("moffat_beta", "host", 2.5),
        ("magnification", "host", 1.0),
        ("z_source", "unlensed", 0.0),
        ("source_hlr_arcsec", "host", np.inf),
        ("ra_deg", "lens", 3.0),
        ("psf_model", "host", "gaussian"),
    ],
)
def test_a_column_that_tells_the_kind_is_named(columns, name, kind, value):
    columns[name][columns["kind"] == kind] = value
    found = {f.gate: f for f in judge(columns)}["integrity.equal_within_pairs"]
    assert found.level is Level.FAIL and found.measured.endswith(name)


def test_a_probe_that_cannot_tell_does_not_pass(columns):
    """A true AUC of 0.64 on some twenty rows is not within limits, nor surely beyond."""
    lens = columns["kind"] == "lens"
    columns["metric.outer"] = np.random.default_rng(5).standard_normal(len(lens)) + 0.3 * lens
    found = {f.gate: f for f in judge(columns)}["probe.outer"]
    assert found.level is Level.WARN and "more hosts" in found.advice


def test_noise_probe_sees_noise_that_follows_the_label(columns):
    columns["metric.sky_sigma_r"][columns["kind"] == "lens"] *= 1.5
    assert "probe.sky" in _failing(columns)
