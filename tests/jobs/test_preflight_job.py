"""A hundred injections are made, judged and drawn before a million are."""

import pytest

from darkhaloscope.cli import run
from darkhaloscope.io.files import read_json


def _preflight(inputs, out, capfd, toml="") -> tuple[int, dict[str, dict], str]:
    words = ["preflight", "--cutouts", inputs / "cutouts", "--bank", inputs / "bank.h5"]
    if toml:
        (out.parent / "settings.toml").write_text(toml)
        words += ["--config", out.parent / "settings.toml"]
    code = run([*map(str, words), "--out", str(out), "--processes", "1"])
    said = capfd.readouterr()
    found = read_json(out / "findings.json")["findings"] if (out / "findings.json").exists() else []
    return code, {f["gate"]: f for f in found}, said.out + said.err


def test_a_good_plan_passes_and_is_drawn(inputs, tmp_path, capfd):
    code, found, said = _preflight(inputs, tmp_path / "out", capfd)
    assert code == 0, said
    assert {found[f"preflight.{name}"]["level"] for name in ("arc_snr", "clumpiness")} == {"pass"}
    assert "by the plan's flux over RMS" in found["preflight.arc_snr"]["measured"]
    assert "the plan's number: median 0.0" in found["preflight.clumpiness"]["measured"]
    assert (tmp_path / "out" / "grid.png").read_bytes()[:4] == b"\x89PNG"
    assert "A hundred injections" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize("variant", ["small", "sota"])
def test_cells_of_a_grid_are_all_over_it(inputs, tmp_path, capfd, variant):
    toml = f'[plan]\nmode = "grid"\ngrid = "{variant}"\n'
    _, found, said = _preflight(inputs, tmp_path / "out", capfd, toml)
    assert found["preflight.arc_snr"]["n"] == 24, said


def test_arcs_that_cannot_be_seen_fail(inputs, tmp_path, capfd):
    toml = "[plan]\narc_mag_r_min = 26.0\narc_mag_r_max = 28.0\nmin_arc_snr = 0.0\n"
    code, found, said = _preflight(inputs, tmp_path / "out", capfd, toml)
    assert code == 1
    assert found["preflight.arc_snr"]["level"] == "fail"
    assert "FAIL preflight.arc_snr" in said


def test_settings_of_another_stage_are_refused(inputs, tmp_path, capfd):
    code, _, said = _preflight(inputs, tmp_path / "out", capfd, "[plan]\nseeed = 3\n")
    assert code == 2 and "did you mean 'seed'" in said
