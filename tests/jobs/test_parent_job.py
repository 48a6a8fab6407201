"""`dhs parent`: catalogues in, hosts out; killed, resumed, split, counted."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest

import sweeps
from darkhaloscope.cli import run
from darkhaloscope.config import Parent
from darkhaloscope.errors import DhsError
from darkhaloscope.io.files import read_json
from darkhaloscope.io.parts import RECORD, digest_of_parts, parts_in
from darkhaloscope.jobs import parent as job
from darkhaloscope.jobs.parent import parent
from memory import peaks_mib

ALL = Parent(selection=("desi_lrg", "plan", "massive"), split_tolerance=0.1)


@pytest.fixture(scope="module")
def catalogues(tmp_path_factory):
    """Three sweeps of 800 objects over the southern sky, read only."""
    folder = tmp_path_factory.mktemp("sweeps")
    for i in range(3):
        columns = sweeps.rows(*sweeps.sky(800, i), BRICKID=np.full(800, 1000 + i, np.int32))
        sweeps.write(folder / f"sweep-{i}.fits", columns)
    return folder


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(job, "_BYTES_A_PART", 100_000)


def table(out, folder="") -> dict[str, list]:
    found = sorted((out / folder).glob("part-*.parquet"))
    rows: dict[str, list] = {}
    for path in found:
        for name, values in pq.read_table(path).to_pydict().items():
            rows.setdefault(name, []).extend(values)
    return rows


def test_hosts_are_what_the_catalogue_says(catalogues, tmp_path):
    parent(tmp_path / "out", [catalogues], ALL, 1)
    rows = table(tmp_path / "out")
    first = rows["host_id"].index("10000-1000-0")
    one = {name: values[first] for name, values in rows.items()}
    assert one["telescope"] == "decam" and one["type"] == "SER" and one["release"] == 10000
    assert one["ebv_mag"] == pytest.approx(0.03) and one["sersic_n"] == 3.5
    assert one["psf_fwhm_r_arcsec"] == pytest.approx(1.3)
    assert one["psf_depth_r_mag"] == pytest.approx(22.5 - 2.5 * np.log10(5 / 30), abs=1e-5)
    assert one["nexp_g"] == 4 and one["host_mag_r"] == pytest.approx(20.2, abs=1e-5)
    assert one["is_desi_lrg"] and one["is_plan"] and one["is_massive"]
    assert one["host_flags"] == 0 and one["host_r_e_arcsec"] == pytest.approx(1.1)
    for path in parts_in(tmp_path / "out"):
        assert pq.read_table(path)["brick"].to_pylist() == sorted(
            pq.read_table(path)["brick"].to_pylist()
        )


def test_everything_is_accounted_for(catalogues, tmp_path):
    parent(tmp_path / "out", [catalogues], ALL, 1)
    good, bad = table(tmp_path / "out"), table(tmp_path / "out", "quarantine")
    assert len(good["host_id"]) + len(bad["host_id"]) == 2400
    assert not set(good["host_id"]) & set(bad["host_id"])
    assert set(bad["cause"]) == {"GUARD_BAND"}
    record = read_json(tmp_path / "out" / RECORD)
    assert record["counts"]["read"] == 2400
    assert record["counts"]["flagged: GUARD_BAND"] == len(bad["host_id"])
    assert record["counts"]["hosts: plan"] == len(good["host_id"])
    share = Counter(good["split"])["train"] / len(good["split"])
    assert record["split_fractions"]["train"] == pytest.approx(share)


def test_causes_are_flagged_and_what_is_not_primary_is_left_out(tmp_path):
    ra, dec = sweeps.sky(600, 5)
    n = 600
    columns = sweeps.rows(
        ra, dec,
        TYPE=np.where(np.arange(n) < 20, b"PSF", np.where(np.arange(n) < 30, b"DUP", b"DEV")),
        MASKBITS=np.where(np.arange(n) >= n - 15, 1, 0).astype(np.int16),
        RELEASE=np.where((np.arange(n) >= 100) & (np.arange(n) < 110), 9011, 10000),
    )  # fmt: skip
    sweeps.write(tmp_path / "sweep.fits", columns)
    parent(tmp_path / "out", [tmp_path / "sweep.fits"], ALL, 1)
    counts = read_json(tmp_path / "out" / RECORD)["counts"]
    assert counts["not primary"] == 25 and counts["selected"] == n - 25
    assert counts["flagged: POINT_SOURCE"] == 20
    assert counts["flagged: OTHER_TELESCOPE"] == 10
    assert counts["type: PSF"] == 20 and "type: DUP" not in counts


def test_killed_and_resumed_gives_the_same_bytes(catalogues, tmp_path):
    """Killed with two processes at work, it goes on with one."""
    parent(tmp_path / "undisturbed", [catalogues], ALL, 1)
    out = tmp_path / "out"
    code = (
        "from pathlib import Path\n"
        "from darkhaloscope.config import Parent\n"
        "from darkhaloscope.jobs import parent as job\n"
        "job._BYTES_A_PART = 100_000\n"
        "if __name__ == '__main__':\n"
        f"    job.parent(Path({str(out)!r}), [Path({str(catalogues)!r})],\n"
        f"        Parent.model_validate_json({ALL.as_json()!r}), 2)\n"
    )
    script = tmp_path / "run.py"
    script.write_text(code)
    process = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.DEVNULL)
    while not list(out.glob("part-*.parquet")) and process.poll() is None:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    parent(out, [catalogues], ALL, 1)
    assert digest_of_parts(out) == digest_of_parts(tmp_path / "undisturbed")
    assert read_json(out / RECORD) == read_json(tmp_path / "undisturbed" / RECORD)


def test_a_second_run_reads_nothing(catalogues, tmp_path, monkeypatch, capfd):
    parent(tmp_path / "out", [catalogues], ALL, 1)
    read = []
    real = job.tractor.blocks
    monkeypatch.setattr(job.tractor, "blocks", lambda path: read.append(path) or real(path))
    parent(tmp_path / "out", [catalogues], ALL, 1)
    assert len(read) == 1  # a look at the first file's columns
    assert "3 of 3 parts are there already" in capfd.readouterr().err


def test_tractor_files_of_many_bricks_share_a_part(tmp_path, monkeypatch):
    monkeypatch.setattr(job, "_BYTES_A_PART", 1 << 28)
    ra, dec = sweeps.sky(300, 9)
    for i in range(30):
        some = slice(10 * i, 10 * i + 10)
        columns = {k.lower(): v[some] for k, v in sweeps.rows(ra, dec).items()}
        sweeps.write(tmp_path / "t" / f"{i:02d}" / f"tractor-{i}.fits", columns)
    loose = ALL.model_copy(update={"split_tolerance": 0.5})
    parent(tmp_path / "out", [tmp_path / "t"], loose, 1)
    assert len(parts_in(tmp_path / "out")) == 1
    assert read_json(tmp_path / "out" / RECORD)["counts"]["read"] == 300


def test_real_rows_of_dr10(real_data, tmp_path, capfd):
    """The dirty rows, counted; the selections whose columns they lack are said to be unknown."""
    words = ["parent", str(real_data / "dr10_lrg"), "--out", str(tmp_path / "out")]
    for path in (real_data / "dr10_lrg").glob("*.csv"):  # regions, no catalogue
        words[1:2] = [str(p) for p in sorted(path.parent.glob("*.parquet"))]
    more = ["--selection", "plan", "--split-nside", "256", "--split-tolerance", "0.15"]
    more += ["--processes", "1"]
    assert run([*words, *more]) == 0
    counts = read_json(tmp_path / "out" / RECORD)["counts"]
    wanted = {
        "read": 8256,
        "selected: plan": 8256,
        "flagged: POINT_SOURCE": 395,
        "flagged: BRIGHT_STAR": 376,
        "flagged: BAD_PHOTOMETRY": 192,
        "type: DEV": 2668,
        "type: SER": 1988,
        "type: REX": 1939,
        "type: EXP": 1266,
        "type: PSF": 395,
    }
    assert {key: counts[key] for key in wanted} == wanted
    said = " ".join(capfd.readouterr().err.split())
    assert "desi_lrg not known, the catalogue lacks its columns" in said
    rows = table(tmp_path / "out")
    assert max(rows["host_mag_z"]) < 20.4 + 1e-6 and min(rows["host_mag_z"]) > 15.5


def test_the_real_sweep_and_tractor_slices(real_data, tmp_path):
    folder = real_data / "tractor_schema"
    files = [folder / "sweep-310m005-320p000.fits", folder / "tractor-3301m002.fits"]
    loose = Parent(selection=("massive",), split_tolerance=1.0)
    parent(tmp_path / "out", files, loose, 1)
    counts = read_json(tmp_path / "out" / RECORD)["counts"]
    assert counts["read"] == 12 and counts["not primary"] == 4
    rows = table(tmp_path / "out")
    assert "8000-312906-0" in rows["host_id"] and set(rows["telescope"]) == {"decam"}


def test_fractions_are_asserted(tmp_path):
    """Forty hosts on one pixel can have no fractions, nor on finer ones; nothing is lost."""
    ra, dec = 150 + np.linspace(0.1, 0.4, 40), np.full(40, 2.0)
    sweeps.write(tmp_path / "s.fits", sweeps.rows(ra, dec))
    said = r"by 0.300.*train 40 = 1.000.*1 sky pixels.*No split_nside .*raise split_tolerance"
    with pytest.raises(DhsError, match=said):
        parent(tmp_path / "out", [tmp_path / "s.fits"], Parent(), 1)
    assert not (tmp_path / "out" / RECORD).exists() and parts_in(tmp_path / "out")


def test_a_finer_nside_is_named_that_does_hold_the_tolerance(tmp_path):
    rng = np.random.default_rng(3)
    ra, dec = rng.uniform(150, 170, 3000), rng.uniform(0, 20, 3000)
    path = sweeps.write(tmp_path / "s.fits", sweeps.rows(ra, dec))
    coarse = Parent(split_nside=8, split_tolerance=0.03)
    with pytest.raises(DhsError, match="Choose split_nside") as error:
        parent(tmp_path / "coarse", [path], coarse, 1)
    advised = int(str(error.value).split("split_nside = ")[1].split(",")[0])
    fine = coarse.model_copy(update={"split_nside": advised})
    parent(tmp_path / "fine", [path], fine, 1)
    record = read_json(tmp_path / "fine" / RECORD)
    assert record["sky_pixels"] > 50 and sum(record["split_hosts"].values()) > 2900
    assert record["sky_area_deg2"] == pytest.approx(400, rel=0.2)


def test_a_wider_tolerance_reads_nothing_again(tmp_path, monkeypatch):
    """It judges the parts, and makes none."""
    ra, dec = 150 + np.linspace(0.1, 0.4, 40), np.full(40, 2.0)
    path = sweeps.write(tmp_path / "s.fits", sweeps.rows(ra, dec))
    with pytest.raises(DhsError, match="miss their fractions"):
        parent(tmp_path / "out", [path], Parent(), 1)
    monkeypatch.setattr(job, "_parent_part", lambda task: pytest.fail("made again"))
    parent(tmp_path / "out", [path], Parent(split_tolerance=0.4), 1)
    assert read_json(tmp_path / "out" / RECORD)["split_tolerance"] == 0.4


def test_objects_come_in_the_order_of_bricks_and_numbers(tmp_path):
    n = 30
    columns = sweeps.rows(150 + np.linspace(0.01, 0.05, n), np.full(n, 2.0))
    turned = {name: values[::-1] for name, values in columns.items()}
    path = sweeps.write(tmp_path / "s.fits", turned)
    parent(tmp_path / "out", [path], Parent(split_tolerance=1.0), 1)
    names = table(tmp_path / "out")["host_id"]
    assert names == [f"10000-330000-{i}" for i in range(n)]


def test_catalogues_without_objects_are_passed_over(catalogues, tmp_path):
    """A brick may hold none; a run of none at all is an error."""
    nothing = {name: values[:0] for name, values in sweeps.rows([1.0], [2.0]).items()}
    empty = sweeps.write(tmp_path / "tractor-1.fits", nothing)
    parent(tmp_path / "out", [empty, catalogues / "sweep-0.fits"], ALL, 1)
    assert read_json(tmp_path / "out" / RECORD)["counts"]["read"] == 800
    with pytest.raises(DhsError, match="holds no objects"):
        parent(tmp_path / "none", [empty], ALL, 1)
    assert not (tmp_path / "none").exists()


def test_a_catalogue_given_twice_is_refused(catalogues, tmp_path):
    files = [catalogues / "sweep-0.fits", tmp_path / "copy.fits"]
    files[1].write_bytes(files[0].read_bytes())
    with pytest.raises(DhsError, match=r"\d+ objects are in .* twice"):
        parent(tmp_path / "out", files, ALL, 1)


def test_two_releases_of_one_sky_are_refused(tmp_path):
    """The same galaxies under other names, some milliarcseconds off."""
    ra, dec = sweeps.sky(400, 3)
    sweeps.write(tmp_path / "sweep-a.fits", sweeps.rows(ra, dec))
    again = sweeps.rows(ra, dec + 1e-6, RELEASE=np.full(400, 9010, np.int16))
    sweeps.write(tmp_path / "sweep-b.fits", again)
    with pytest.raises(DhsError, match=r"39\d of \d+ hosts .* within 1.6 arcsec of another"):
        parent(tmp_path / "out", [tmp_path], ALL, 1)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ({"FLUX_Z": None}, "lacks the columns flux_z"),
        ({"FIBERFLUX_Z": None}, "lacks fiberflux_z, which selection desi_lrg needs; with its "
         "columns --selection may be: plan, massive"),
        ({"PSFDEPTH_R": np.full(50, 24.2, np.float32)}, "which are magnitudes"),
        ({"TYPE": np.full(50, b"PSF")}, "no host is left of 50 objects"),
        ({"FLUX_R": np.full(50, 1e-3, np.float32)}, "0 are selected"),
    ],
)  # fmt: skip
def test_bad_catalogues_are_said(tmp_path, capfd, spoil, said):
    columns = sweeps.rows(*sweeps.sky(50))
    for name, values in spoil.items():
        if values is None:
            del columns[name]
        else:
            columns[name] = values
    path = sweeps.write(tmp_path / "s.fits", columns)
    words = ["parent", str(path), "--out", str(tmp_path / "out")]
    assert run([*words, "--selection", "desi_lrg", "--selection", "massive"]) == 2
    assert said in " ".join(capfd.readouterr().err.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--split-nside", "33"], "power of two"),
        (["--selection", "lrg"], "lrg"),
        (["--guard-arcsec", "-1"], "guard_arcsec"),
        (["--split-nside", "2048"], "at most a quarter of a sky pixel's side, 103 arcsec"),
    ],
)
def test_bad_settings_are_said(catalogues, tmp_path, capfd, words, said):
    assert run(["parent", str(catalogues), "--out", str(tmp_path / "out"), *words]) == 2
    assert said in " ".join(capfd.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def _select(path, out):
    parent(out, [path], Parent(selection=("plan",), split_tolerance=1.0), 1)


def test_memory_is_flat_in_the_number_of_rows(tmp_path):
    """Of a sweep only a block of rows is held, and the few that are selected."""
    calls = []
    for n in (100_000, 500_000):
        columns = sweeps.rows(*sweeps.sky(n))
        columns["FLUX_W1"][20:] = 0.1  # a field of galaxies: few are selected
        path = sweeps.write(tmp_path / f"sweep-{n}.fits", columns)
        calls.append((path, tmp_path / f"out{n}"))
    peak = peaks_mib(_select, *calls)
    for path, _ in calls:
        path.unlink()
    assert peak[1] < peak[0] + 40, f"MiB: {peak}"
