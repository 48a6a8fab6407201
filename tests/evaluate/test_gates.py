"""Gates on a small set, columns altered one by one; whole faults are in test_faults."""

from dataclasses import replace

import numpy as np
import pytest

from darkhaloscope.evaluate.findings import Finding, Level
from darkhaloscope.evaluate.gates import SAMPLED, judge
from darkhaloscope.evaluate.tally import tally, together
from darkhaloscope.jobs.looks import look_at
from darkhaloscope.sim import mapping


@pytest.fixture
def columns(stamps):
    return {name: values.copy() for name, values in look_at(stamps).sample.items()}


def _judged(columns) -> dict[str, Finding]:
    return {f.gate: f for f in judge(tally(columns), columns)}


def test_a_small_healthy_set_fails_no_gate(columns):
    found = _judged(columns)
    assert not [gate for gate, f in found.items() if f.level is Level.FAIL]
    unsure = {gate for gate, f in found.items() if f.level is Level.WARN}
    assert all(gate.startswith("probe.") for gate in unsure)  # 24 hosts are few
    assert all(f.n == 24 for f in found.values())


def test_counts_of_pieces_add_up_to_those_of_the_whole(columns):
    pairs = np.unique(columns["pair_id"].astype(str))
    groups = [np.isin(columns["pair_id"].astype(str), some) for some in np.array_split(pairs, 5)]
    pieces = [tally({n: v[some] for n, v in columns.items()}) for some in groups]
    one, whole = together(pieces), together([tally(columns)])
    assert (one.kinds, one.faults, one.columns) == (whole.kinds, whole.faults, whole.columns)
    assert (one.n_hosts, one.added_to_hosts) == (whole.n_hosts, whole.added_to_hosts)
    assert sorted(one.tasks) == sorted(whole.tasks)
    assert np.array_equal(one.hosts, whole.hosts)


def test_a_pair_torn_between_two_pieces_is_seen(columns):
    lens = columns["kind"] == "lens"
    pieces = [tally({n: v[some] for n, v in columns.items()}) for some in (lens, ~lens)]
    found = {f.gate: f for f in judge(together(pieces), columns)}
    assert found["integrity.complete_pairs"].level is Level.FAIL


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
        ("source_hlr_arcsec", "host", 0.3),
        ("ra_deg", "lens", 3.0),
        ("psf_model", "host", "gaussian"),
    ],
)
def test_a_column_that_tells_the_kind_is_named(columns, name, kind, value):
    columns[name][columns["kind"] == kind] = value
    found = _judged(columns)["integrity.equal_within_pairs"]
    assert found.level is Level.FAIL and found.measured.endswith(name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("psf_depth_r_mag", 3000.0),
        ("host_phi_rad", 170.0),
        ("source_hlr_arcsec", np.inf),
        ("host_mag_g", 0.02),
        ("lens_q", 1.6),
        ("sigma_v_kms", 0.0003),
    ],
)
def test_a_value_beyond_its_unit_is_named(columns, name, value):
    columns[name][:] = value
    found = _judged(columns)["integrity.units"]
    assert found.level is Level.FAIL and found.measured.endswith(name)


def test_a_probe_that_cannot_tell_does_not_pass(columns):
    """A true AUC of 0.64 on some twenty pairs is not within limits, nor surely beyond."""
    lens = columns["kind"] == "lens"
    shape = columns["probe.outer"].shape[0]
    columns["probe.outer"] = (
        np.random.default_rng(5).standard_normal((shape, 1)) + 0.5 * lens[:, None]
    )
    found = _judged(columns)["probe.outer.host"]
    assert found.level is Level.WARN and "more hosts" in found.advice


def test_a_renderer_without_sqrt_q_bends_light_by_another_mass(columns, monkeypatch):
    def wrong(scenes, x, y):
        return right(replace(scenes, theta_E=scenes.theta_E / scenes.q.sqrt()), x, y)

    right = mapping.source_plane
    healthy = _judged(columns)["physics.kappa_area"]
    assert healthy.level is Level.PASS and "median 1.00000" in healthy.measured
    monkeypatch.setattr(mapping, "source_plane", wrong)
    assert _judged(columns)["physics.kappa_area"].level is Level.FAIL


def test_gates_that_need_host_rows_are_skipped_without_them(columns):
    keep = columns["kind"] != "host"
    columns = {name: values[keep] for name, values in columns.items()}
    for name in columns:
        if name.startswith("metric.added"):
            columns[name] = np.full(keep.sum(), np.nan)
    found = _judged(columns)
    for gate in ("added_flux", "nothing_else", "light_centre", "image_radius", "psf_applied"):
        assert found[f"physics.{gate}"].level is Level.SKIP, gate
    assert found["probe.arc_control"].level is Level.SKIP


def test_gates_are_named_as_their_functions(columns):
    for group, gates in SAMPLED.items():
        for gate in gates:
            assert gate(columns).gate == f"{group}.{gate.__name__}"


@pytest.mark.parametrize(
    "name", ["z_source", "psf_fwhm_r_arcsec", "metric.added_radius", "arc_snr"]
)
def test_gates_whose_column_is_missing_are_skipped_and_say_which(columns, name):
    del columns[name]
    skipped = [f for f in _judged(columns).values() if f.level is Level.SKIP]
    assert skipped and all(f.measured == f"no column {name}" for f in skipped)


def test_a_mistake_in_a_gate_is_no_missing_column(columns, monkeypatch):
    def wrong(columns):
        return {}["z_source"]

    monkeypatch.setitem(SAMPLED, "physics", (wrong,))
    with pytest.raises(KeyError):
        _judged(columns)
