"""`dhs cutouts bricks` and `service` against servers and files that misbehave: nothing is lost."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest

from bricktree import parent_rows, scattered, write_brick, write_parent
from darkhaloscope.cli import run
from darkhaloscope.config import CutoutsBricks, CutoutsService
from darkhaloscope.errors import DhsError
from darkhaloscope.io.files import read_json
from darkhaloscope.io.parts import RECORD, digest_of_parts, parts_in
from darkhaloscope.io.tables import image_from
from darkhaloscope.jobs.survey_cutouts import cutouts_bricks, cutouts_service
from darkhaloscope.survey.bricks import brick_of, coadd_path
from flow import no_report
from memory import peaks_mib
from s3 import BUCKET, bucket
from surveyserver import Survey, serving

WEST = brick_of(150.1, 2.1)
EAST = brick_of(WEST.ra_deg + 0.25, 2.1)
QUICK = {"timeout_s": 1.0, "tries": 2, "backoff_s": 0.01}
BRICKS = CutoutsBricks(hosts_per_part=4, size_pix=48, **QUICK)
SERVICE = CutoutsService(hosts_per_part=4, size_pix=48, requests_per_s=100, **QUICK)


def _positions():
    places = [scattered(brick, 6, seed) for seed, brick in enumerate((WEST, EAST))]
    return np.concatenate([p[0] for p in places]), np.concatenate([p[1] for p in places])


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("survey") / "tree"
    ra, dec = _positions()
    for brick in (WEST, EAST):
        write_brick(root, brick, ra, dec)
    return root


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    return write_parent(tmp_path_factory.mktemp("table") / "parent", parent_rows(*_positions()))


@pytest.fixture
def served(tree):
    survey = Survey(tree, [WEST, EAST], *_positions())
    with serving(survey) as address:
        yield survey, address


def good(out) -> dict[str, dict]:
    return {r["host_id"]: r for p in parts_in(out) for r in pq.read_table(p).to_pylist()}


def bad(out) -> dict[str, dict]:
    found = sorted((out / "quarantine").glob("part-*.parquet"))
    return {r["host_id"]: r for p in found for r in pq.read_table(p).to_pylist()}


def all_accounted(out) -> Counter:
    """Every host of the parent is good or in quarantine, never both; its causes."""
    here, there = good(out), bad(out)
    assert not set(here) & set(there)
    assert len(here) + len(there) == 12
    record = read_json(out / RECORD)
    causes = Counter(row["cause"] for row in there.values())
    assert record["hosts"] == len(here) and record["quarantined"] == dict(causes)
    return causes


def test_bricks_from_a_folder_and_from_a_server_are_the_same(tree, parent, served, tmp_path):
    survey, address = served
    cutouts_bricks(tmp_path / "a", parent, str(tree), BRICKS, 1)
    cutouts_bricks(tmp_path / "b", parent, f"{address}/tree", BRICKS, 1)
    assert all_accounted(tmp_path / "a") == {}
    one, two = good(tmp_path / "a"), good(tmp_path / "b")
    assert one == two and len(one) == 12
    whole = sum(p.stat().st_size for p in tree.rglob("*.fz"))
    assert survey.bytes_sent < 2 * whole  # blocks of 64 KiB of files that are small here


def test_bricks_from_s3_are_the_same_too(tree, parent, tmp_path):
    cutouts_bricks(tmp_path / "disk", parent, str(tree), BRICKS, 1)
    with bucket() as client:
        for path in tree.rglob("*.fz"):
            client.upload_file(str(path), BUCKET, f"dr10/coadd/{path.relative_to(tree)}")
        cutouts_bricks(tmp_path / "s3", parent, f"s3://{BUCKET}/dr10/coadd", BRICKS, 1)
    assert all_accounted(tmp_path / "s3") == {}
    assert good(tmp_path / "s3") == good(tmp_path / "disk")


def test_rows_hold_what_parent_and_images_know(tree, parent, tmp_path):
    cutouts_bricks(tmp_path / "out", parent, str(tree), BRICKS, 1)
    for row in good(tmp_path / "out").values():
        assert row["telescope"] == "decam" and row["split"] == "train"
        assert row["psf_fwhm_r_arcsec"] == pytest.approx(1.3, rel=1e-3)
        assert row["nexp_z"] == 5 and row["ebv_mag"] == 0.05
        assert row["host_mag_r"] == 20.2 and row["host_r_e_arcsec"] == 0.9
        assert row["psf_depth_g_mag"] == 24.5 and row["host_flags"] == 0
        assert row["size_pix"] == 48 and abs(row["host_center_x_arcsec"]) <= 0.131
        image = image_from(row["image"], 48)
        assert image[1, 22:26, 22:26].min() > 0.15  # the galaxy


def test_processes_do_not_change_a_byte(tree, parent, tmp_path):
    cutouts_bricks(tmp_path / "one", parent, str(tree), BRICKS, 1)
    cutouts_bricks(tmp_path / "two", parent, str(tree), BRICKS, 2)
    assert digest_of_parts(tmp_path / "one") == digest_of_parts(tmp_path / "two")


def test_bricks_behind_a_server_that_fails_now_and_then(tree, parent, served, tmp_path):
    survey, address = served
    survey.faults["image-g"] = [503, "cut", 429, "slow", 503]
    survey.faults["invvar"] = ["cut", 500, 503]
    patient = BRICKS.model_copy(update={"tries": 6})
    cutouts_bricks(tmp_path / "web", parent, f"{address}/tree", patient, 1)
    assert all_accounted(tmp_path / "web") == {}
    cutouts_bricks(tmp_path / "disk", parent, str(tree), BRICKS, 1)
    assert good(tmp_path / "web") == good(tmp_path / "disk")


def test_bricks_that_do_not_answer_are_tried_again_next_time(parent, served, tmp_path, tree):
    survey, address = served
    out = tmp_path / "out"
    survey.faults[f"{EAST.name}-invvar-z"] = ["always:503"]
    cutouts_bricks(out, parent, f"{address}/tree", BRICKS, 1)
    assert all_accounted(out) == {"NO_ANSWER": 6}
    assert all("503" in row["detail"] for row in bad(out).values())

    survey.faults.clear()
    survey.asked.clear()
    cutouts_bricks(out, parent, f"{address}/tree", BRICKS, 1)
    assert all_accounted(out) == {}
    assert survey.asked and all(EAST.name in address for address in survey.asked)
    survey.asked.clear()
    cutouts_bricks(out, parent, f"{address}/tree", BRICKS, 1)
    assert not survey.asked

    cutouts_bricks(tmp_path / "undisturbed", parent, f"{address}/tree", BRICKS, 1)
    assert digest_of_parts(out) == digest_of_parts(tmp_path / "undisturbed")


def test_one_silent_brick_does_not_stop_the_others(served, tmp_path):
    survey, address = served
    survey.faults[f"{WEST.name}-image-g"] = ["always:503"]
    six = scattered(WEST, 6, 0), scattered(EAST, 6, 1)
    ra, dec = (np.concatenate([np.resize(brick[i], 12) for brick in six]) for i in (0, 1))
    table = write_parent(tmp_path / "parent", parent_rows(ra, dec))
    big = BRICKS.model_copy(update={"hosts_per_part": 100})
    cutouts_bricks(tmp_path / "out", table, f"{address}/tree", big, 1)
    causes = Counter(row["cause"] for row in bad(tmp_path / "out").values())
    assert causes["NO_ANSWER"] == 12
    assert len(good(tmp_path / "out")) + len(bad(tmp_path / "out")) == 24


def test_missing_bands_bricks_and_damage_are_kept_apart(tree, parent, tmp_path):
    root, out = tmp_path / "tree", tmp_path / "out"
    shutil.copytree(tree, root)
    (root / coadd_path(WEST.name, "image", "r")).unlink()
    path = root / coadd_path(EAST.name, "invvar", "g")
    whole = path.read_bytes()
    path.write_bytes(whole[:3000])
    cutouts_bricks(out, parent, str(tree), BRICKS, 1)  # a healthy store to compare with
    healthy = good(out)
    shutil.rmtree(out)

    with pytest.raises(DhsError, match=r"no usable cutout .*6 MISSING_BAND"):
        cutouts_bricks(out, parent, str(root), BRICKS, 1)
    assert all_accounted(out) == {"MISSING_BAND": 6, "DAMAGED": 6}
    assert all(path.name in r["detail"] for r in bad(out).values() if r["cause"] == "DAMAGED")

    path.write_bytes(whole)
    cutouts_bricks(out, parent, str(root), BRICKS, 1)
    assert all_accounted(out) == {"MISSING_BAND": 6}
    assert all(row == healthy[name] for name, row in good(out).items())


def test_the_service_gives_what_the_bricks_give(tree, parent, served, tmp_path):
    _, address = served
    service = tmp_path / "service"
    cutouts_service(service, parent, f"{address}/viewer", tmp_path / "answers", SERVICE)
    cutouts_bricks(tmp_path / "bricks", parent, str(tree), BRICKS, 1)
    assert all_accounted(service) == {}
    bricks = good(tmp_path / "bricks")
    for name, row in good(service).items():
        ours = image_from(bricks[name]["image"], 48)
        assert np.abs(image_from(row["image"], 48) - ours).max() < 0.002  # compression
        assert row["host_center_x_arcsec"] == pytest.approx(bricks[name]["host_center_x_arcsec"])
        assert row["psf_size_pix"] == 31
        assert image_from(row["psf_image"], 31).sum() == pytest.approx(3, abs=1e-4)
        assert row["brick"] == bricks[name]["brick"]
        assert row["nexp_r"] == 3 and row["host_flags"] == 1 << 18  # ASSUMED_NEXP


def test_a_service_that_fails_in_every_way(parent, served, tmp_path):
    """After all of it every host is good or quarantined, and a second run asks for the rest."""
    survey, address = served
    out, answers = tmp_path / "out", tmp_path / "answers"
    ra = [f"ra={r:.7f}" for r in _positions()[0]]
    faults = {
        ra[0]: [404],
        ra[1]: [429, 200],
        ra[2]: ["always:503"],
        ra[3]: ["short"],
        ra[4]: ["small"],
        ra[5]: ["blank-z"],
        ra[6]: ["text"],
        ra[7]: ["slow"],
        ra[8]: ["cut"],
    }
    for piece, todo in faults.items():
        survey.faults[piece] = [f for f in todo if f != 200]
    cutouts_service(out, parent, f"{address}/viewer", answers, SERVICE)
    causes = {name: row["cause"] for name, row in bad(out).items()}
    assert causes == {
        "h00000": "NOT_COVERED",
        "h00002": "NO_ANSWER",
        "h00003": "DAMAGED",
        "h00004": "OUT_OF_BRICK",
        "h00005": "MISSING_BAND",
        "h00006": "DAMAGED",
    }
    all_accounted(out)
    before = good(out)

    survey.faults.clear()
    survey.asked.clear()
    cutouts_service(out, parent, f"{address}/viewer", answers, SERVICE)
    asked = {next(i for i, r in enumerate(ra) if r in address) for address in survey.asked}
    assert asked == {2, 3, 6}
    assert set(bad(out)) == {"h00000", "h00004", "h00005"}
    after = good(out)
    assert all(after[name] == row for name, row in before.items())
    all_accounted(out)

    survey.asked.clear()
    cutouts_service(out, parent, f"{address}/viewer", answers, SERVICE)
    assert not survey.asked


def test_a_service_that_is_down_stops_the_run_and_loses_nothing(parent, served, tmp_path):
    survey, address = served
    out, answers = tmp_path / "out", tmp_path / "answers"
    one_part = SERVICE.model_copy(update={"hosts_per_part": 100})
    first = [f"ra={r:.7f}" for r in _positions()[0][:3]]
    survey.faults = {piece: [] for piece in first} | {"ra=": ["always:503"]}
    real = survey.fault
    survey.fault = lambda a: None if any(f in a for f in first) else real(a)
    with pytest.raises(DhsError, match=r"not answered for 8 hosts in a row.*503.*run the same"):
        cutouts_service(out, parent, f"{address}/viewer", answers, one_part)
    assert not (out / RECORD).exists()
    survey.faults, survey.fault = {}, real
    survey.asked.clear()
    cutouts_service(out, parent, f"{address}/viewer", answers, one_part)
    assert not any(f in address for f in first for address in survey.asked)
    assert all_accounted(out) == {}


def test_answers_of_a_killed_run_are_not_asked_for_again(parent, served, tmp_path):
    survey, address = served
    out, answers = tmp_path / "out", tmp_path / "answers"
    survey.faults["ra="] = ["always:slow"]
    command = [
        *(sys.executable, "-m", "darkhaloscope.cli", "cutouts", "service"),
        *("--parent", str(parent), "--out", str(out), "--url", f"{address}/viewer"),
        *("--cache", str(answers), "--size-pix", "48", "--requests-per-s", "100"),
        *("--timeout-s", "10"),
    ]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while len(list(answers.glob("[!.]*")) if answers.exists() else []) < 2:
        assert process.poll() is None
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    held = len(list(answers.glob("[!.]*")))
    survey.faults.clear()
    survey.asked.clear()
    assert run([*command[3:]]) == 0
    assert sum(survey.asked.values()) == 3 * 12 - held
    assert all_accounted(out) == {}


def test_northern_bricks_are_refused_and_named(tmp_path, parent):
    root = tmp_path / "tree"
    write_brick(root, WEST, *_positions(), camera="90prime mosaic")
    with pytest.raises(DhsError, match=r"6 OTHER_TELESCOPE.*--telescope"):
        cutouts_bricks(tmp_path / "out", parent, str(root), BRICKS, 1)
    assert all_accounted(tmp_path / "out") == {"OTHER_TELESCOPE": 6, "NOT_COVERED": 6}
    asked = BRICKS.model_copy(update={"telescope": "90prime-mosaic"})
    cutouts_bricks(tmp_path / "north", parent, str(root), asked, 1)
    assert {r["telescope"] for r in good(tmp_path / "north").values()} == {"90prime-mosaic"}


def test_a_layer_of_both_telescopes_is_asked_only_in_the_south(served, tmp_path):
    survey, address = served
    table = write_parent(tmp_path / "parent", parent_rows([150.0], [40.0]))
    mixed = SERVICE.model_copy(update={"layer": "ls-dr10"})
    with pytest.raises(DhsError, match="1 OTHER_TELESCOPE"):
        cutouts_service(tmp_path / "out", table, f"{address}/viewer", tmp_path / "a", mixed)
    assert not survey.asked


def test_what_the_catalogue_lacks_is_measured_or_said(tree, tmp_path):
    ra, dec = _positions()
    lacking = parent_rows(ra, dec, ebv_mag=np.full(12, np.nan), host_r_e_arcsec=np.full(12, np.nan))
    table = write_parent(tmp_path / "parent", lacking)
    cutouts_bricks(tmp_path / "out", table, str(tree), BRICKS, 1)
    for row in good(tmp_path / "out").values():
        assert row["host_flags"] == 1 << 23  # ASSUMED_EBV
        assert row["ebv_mag"] == 0.047
        assert 0.5 < row["host_r_e_arcsec"] < 1.5


def test_a_store_goes_through_the_whole_flow(tree, parent, tmp_path):
    from darkhaloscope.config import BankHybrid, Inject, Plan, Validate
    from darkhaloscope.jobs.banks import bank_hybrid
    from darkhaloscope.jobs.inject import inject_all
    from darkhaloscope.jobs.plan import plan
    from darkhaloscope.jobs.validate import validate

    cutouts, bank = tmp_path / "cutouts", tmp_path / "bank.h5"
    cutouts_bricks(cutouts, parent, str(tree), BRICKS, 1)
    bank_hybrid(bank, BankHybrid(n_sources=20))
    plan(tmp_path / "plan", cutouts, bank, Plan())
    inject_all(tmp_path / "stamps", tmp_path / "plan", cutouts, bank, Inject())
    with no_report():
        validate(tmp_path / "stamps", tmp_path / "stamps", bank, Validate())
    findings = read_json(tmp_path / "stamps" / "findings.json")["findings"]
    failed = {f["gate"] for f in findings if f["level"] == "fail"}
    assert not {gate for gate in failed if gate.startswith(("integrity", "physics"))}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--root", "/nowhere"], "/nowhere is not a folder"),
        (["--root", "{tree}", "--size-pix", "10"], "size_pix must be greater than or equal to 32"),
        (["--root", "{tree}", "--telescope", "hst"], "telescope"),
        (["--root", "{tree}", "--parent", "{tree}"], "holds no finished parent table"),
    ],
)
def test_bad_input_is_said_before_any_work(tree, parent, tmp_path, capfd, arguments, said):
    words = [word.format(tree=tree) for word in arguments]
    if "--parent" not in words:
        words += ["--parent", str(parent)]
    assert run(["cutouts", "bricks", "--out", str(tmp_path / "out"), *words]) == 2
    assert said in " ".join(capfd.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_a_store_of_other_settings_is_refused(tree, parent, tmp_path):
    cutouts_bricks(tmp_path / "out", parent, str(tree), BRICKS, 1)
    with pytest.raises(DhsError, match="another run: config differ"):
        other = BRICKS.model_copy(update={"size_pix": 50})
        cutouts_bricks(tmp_path / "out", parent, str(tree), other, 1)
    patient = BRICKS.model_copy(update={"timeout_s": 77.0, "tries": 9})  # not of the result
    cutouts_bricks(tmp_path / "out", parent, str(tree), patient, 1)


def test_memory_is_flat_in_the_number_of_hosts(tree, tmp_path):
    cfg, calls = CutoutsBricks(hosts_per_part=100), []
    for n in (100, 1000):
        ra, dec = (np.resize(p, n) for p in scattered(WEST, 6, 0))
        table = write_parent(tmp_path / f"parent{n}", parent_rows(ra, dec))
        calls.append((tmp_path / f"out{n}", table, str(tree), cfg, 1))
    peak = peaks_mib(cutouts_bricks, *calls)
    assert peak[1] < peak[0] + 40, f"MiB: {peak}"
