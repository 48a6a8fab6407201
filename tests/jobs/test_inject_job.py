"""Injection: the same bytes however it is run, and never a lost or doubled row."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from darkhaloscope.config import Inject
from darkhaloscope.errors import DhsError
from darkhaloscope.io.bank import read_bank
from darkhaloscope.io.files import read_json
from darkhaloscope.io.parts import RECORD, digest_of_parts, parts_in
from darkhaloscope.io.tables import columns_of, image_from, read_table
from darkhaloscope.jobs.light import render_rows
from darkhaloscope.jobs.looks import look_at
from darkhaloscope.schema import CUTOUTS, KINDS, STAMPS
from darkhaloscope.units import BANDS
from flow import make_stamps, plan_rows
from tolerance import assert_images_agree, assert_ratio


def _pixels(folder: Path) -> dict[str, np.ndarray]:
    table = pa.concat_tables([read_table(p, STAMPS) for p in parts_in(folder)])
    c = columns_of(table)
    return {
        task: image_from(data, int(size))
        for task, data, size in zip(c["task_id"], c["image"], c["size_pix"], strict=True)
    }


def test_every_planned_row_is_there_once(inputs, stamps):
    planned = plan_rows(inputs / "plan")["task_id"].tolist()
    written = look_at(stamps).sample["task_id"].tolist()
    assert sorted(written) == sorted(planned)
    assert len(set(written)) == len(written) > 3 * 24


def test_two_processes_write_the_same_bytes(inputs, stamps, tmp_path):
    make_stamps(inputs, tmp_path / "again", processes=2)
    assert digest_of_parts(tmp_path / "again") == digest_of_parts(stamps)
    assert (tmp_path / "again" / RECORD).read_bytes() == (stamps / RECORD).read_bytes()


def test_host_rows_are_the_cutouts_bit_for_bit(inputs, stamps):
    pixels = _pixels(stamps)
    cutouts = columns_of(
        pa.concat_tables([read_table(p, CUTOUTS) for p in parts_in(inputs / "cutouts")])
    )
    for host, data, size in zip(
        cutouts["host_id"], cutouts["image"], cutouts["size_pix"], strict=True
    ):
        assert np.array_equal(pixels[f"{host}-00-host"], image_from(data, int(size)))


def test_pairs_share_host_source_and_flux(stamps):
    c = look_at(stamps).sample
    lens, host, unlensed = (c["kind"] == kind for kind in KINDS[:3])
    order = [np.argsort(c["pair_id"][which]) for which in (lens, host, unlensed)]
    for name in ("host_id", "template_index", "psf_fwhm_r_arcsec", "theta_E_arcsec", "ebv_mag"):
        first, *rest = (c[name][w][o] for w, o in zip((lens, host, unlensed), order, strict=True))
        assert all((other == first).all() for other in rest), name
    ratio = c["arc_flux_r_nmgy"][unlensed][order[2]] / c["arc_flux_r_nmgy"][lens][order[0]]
    assert np.abs(ratio - 1).max() < 0.05  # equal but for wings outside the stamp
    assert (c["arc_flux_r_nmgy"][host] == 0).all()


def test_no_column_is_null_for_any_kind(stamps):
    for path in parts_in(stamps):
        table = pq.read_table(path)
        assert all(table[name].null_count == 0 for name in table.column_names)


def test_killed_run_resumes_to_the_same_bytes(inputs, stamps, tmp_path):
    """SIGKILL the command in the middle; started again it ends with the undisturbed digest."""
    out = tmp_path / "killed"
    command = [
        sys.executable, "-m", "darkhaloscope.cli", "inject",
        "--plan", inputs / "plan", "--cutouts", inputs / "cutouts",
        "--bank", inputs / "bank.h5", "--out", out, "--processes", "1",
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(out.glob("part-*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run ended before it could be killed"
    done = {p.name: p.stat().st_mtime_ns for p in out.glob("part-*.parquet")}
    assert 1 <= len(done) < 5
    assert not (out / RECORD).exists()
    make_stamps(inputs, out)
    assert digest_of_parts(out) == digest_of_parts(stamps)
    for name, written in done.items():
        assert (out / name).stat().st_mtime_ns == written, "a finished part was made again"
    assert not list(out.glob(".*"))


def test_a_damaged_part_is_made_again(inputs, stamps, tmp_path):
    out = tmp_path / "damaged"
    shutil.copytree(stamps, out)
    (out / "part-00001.parquet").write_bytes(b"PAR1 this is not a table")
    make_stamps(inputs, out)
    assert digest_of_parts(out) == digest_of_parts(stamps)


def test_folder_of_another_run_is_refused(inputs, stamps):
    before = digest_of_parts(stamps)
    with pytest.raises(DhsError, match="parts of another run: config differ"):
        make_stamps(inputs, stamps, cfg=Inject(moffat_beta=2.5))
    assert digest_of_parts(stamps) == before


def test_another_bank_is_refused(inputs, tmp_path):
    from darkhaloscope.config import BankHybrid
    from darkhaloscope.jobs.banks import bank_hybrid
    from darkhaloscope.jobs.inject import inject_all

    bank_hybrid(tmp_path / "other.h5", BankHybrid(n_sources=41))
    with pytest.raises(DhsError, match=r"not made from .*other\.h5"):
        inject_all(
            tmp_path / "out", inputs / "plan", inputs / "cutouts",
            tmp_path / "other.h5", Inject(),
        )  # fmt: skip
    assert not (tmp_path / "out").exists()


def test_flagged_cutouts_are_quarantined_and_never_planned(tmp_path):
    from darkhaloscope.config import BankHybrid, CutoutsNpz, Plan
    from darkhaloscope.jobs.banks import bank_hybrid
    from darkhaloscope.jobs.cutouts import cutouts_npz
    from darkhaloscope.jobs.plan import plan

    rng = np.random.default_rng(3)
    source = tmp_path / "npz"
    source.mkdir()
    y, x = np.indices((48, 48)) - 23.5
    for i in range(6):
        cutout = rng.normal(0, 0.003, (48, 48, 3)) + 0.2 * np.exp(-np.hypot(x, y) / 3)[..., None]
        if i == 2:
            cutout[5, 7, 1] = np.nan
        np.savez(
            source / f"host{i}.npz", cutout=cutout.astype("f4"), meta_ra=10.0 + i, meta_dec=-5.0
        )
    with pytest.raises(DhsError, match="host2: NAN_PIXELS"):
        cutouts_npz(tmp_path / "cutouts", source, CutoutsNpz())
    assert not (tmp_path / "cutouts").exists()

    cutouts_npz(tmp_path / "cutouts", source, CutoutsNpz(bad_cutouts="quarantine", split="train"))
    lost = pq.read_table(tmp_path / "cutouts" / "quarantine" / "part-00000.parquet").to_pydict()
    assert lost["host_id"] == ["host2"] and lost["cause"] == ["NAN_PIXELS"]
    assert read_json(tmp_path / "cutouts" / RECORD)["quarantined"] == {"NAN_PIXELS": 1}
    bank_hybrid(tmp_path / "bank.h5", BankHybrid(n_sources=10))
    plan(tmp_path / "plan", tmp_path / "cutouts", tmp_path / "bank.h5", Plan(mode="grid"))
    planned = plan_rows(tmp_path / "plan")["host_id"].tolist()
    assert set(planned) == {f"host{i}" for i in (0, 1, 3, 4, 5)}


def test_flagged_hosts_go_to_quarantine_for_every_kind(inputs, tmp_path):
    """Without a PSF image no row of a pair can be made with psf_model image."""
    with pytest.raises(DhsError, match=r"too few usable rows .* 0 of 24 lens"):
        make_stamps(inputs, tmp_path / "stamps", cfg=Inject(psf_model="image"))
    bad = pq.read_table(tmp_path / "stamps" / "quarantine" / "part-00000.parquet").to_pydict()
    assert set(bad["cause"]) == {"NO_PSF"}
    assert len({bad["kind"].count(kind) for kind in KINDS[:3]}) == 1


def test_arcs_that_fall_beside_the_stamp_are_flagged(inputs, tmp_path):
    """A lens without its arcs is a false label; its whole pair goes, for flags never tell."""
    from darkhaloscope.config import Plan
    from darkhaloscope.jobs.plan import plan

    wide = Plan(
        stamp_size_pix=32,
        mode="grid",
        grid_theta_E_arcsec=(1.5, 5.0),
        ring_fraction=1,
        companion_fraction=1,
        spiral_fraction=1,
    )
    plan(tmp_path / "plan", inputs / "cutouts", inputs / "bank.h5", wide)
    (tmp_path / "cutouts").symlink_to(inputs / "cutouts")
    (tmp_path / "bank.h5").symlink_to(inputs / "bank.h5")
    make_stamps(tmp_path, tmp_path / "stamps", cfg=Inject(min_usable_fraction=0))
    bad = pq.read_table(tmp_path / "stamps" / "quarantine" / "part-00000.parquet").to_pydict()
    assert bad["cause"] and all("LIGHT_OFF_STAMP" in cause for cause in bad["cause"])
    lost = [bad["kind"].count(kind) for kind in KINDS]
    assert len(set(lost)) == 1
    record = read_json(tmp_path / "stamps" / RECORD)
    for kind in KINDS:
        assert record["usable"][kind] + lost[0] == record["planned"][kind]
    assert look_at(tmp_path / "stamps").sample["flux_inside"].min() >= 0.5


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_full_disk_is_said_and_leaves_only_whole_files(inputs, stamps, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    size = sum(p.stat().st_size for p in parts_in(stamps)) // 2
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", small],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs here: {mounted.stderr.decode().strip()}")
    try:
        with pytest.raises(DhsError, match=r"No space left on device.*run the same command again"):
            make_stamps(inputs, small / "out")
        whole = sorted((small / "out").glob("part-*.parquet"))
        assert whole
        assert not list((small / "out").glob(".*"))
        for path in whole:
            assert path.read_bytes() == (stamps / path.name).read_bytes()
        subprocess.run(["mount", "-o", "remount,size=1g", small], check=True)
        make_stamps(inputs, small / "out")
        assert digest_of_parts(small / "out") == digest_of_parts(stamps)
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_part_that_was_altered_is_made_again(inputs, stamps, tmp_path):
    copy = shutil.copytree(stamps, tmp_path / "stamps")
    part = sorted(copy.glob("part-*.parquet"))[1]
    table = pq.read_table(part)
    image = np.frombuffer(table["image"][0].as_py(), "<f4") + 5e-4
    images = [image.astype("<f4").tobytes(), *table["image"].to_pylist()[1:]]
    place = table.schema.get_field_index("image")
    field = table.schema.field(place)
    pq.write_table(table.set_column(place, field, pa.array(images, field.type)), part)
    assert digest_of_parts(copy) != digest_of_parts(stamps)
    make_stamps(inputs, copy)
    assert digest_of_parts(copy) == digest_of_parts(stamps)


def test_bulges_are_redder_than_their_discs(inputs):
    """Of sources shown unlensed and large, the middle is redder than the rest; flux is kept."""
    bank = read_bank(inputs / "bank.h5")
    table = plan_rows(inputs / "plan")
    has = bank.columns["bulge_fraction"][table["template_index"]] > 0.1
    late = table["source_type"] < 1.5
    rows = {n: v[(table["kind"] == "unlensed") & has & late][:6] for n, v in table.items()}
    n = len(rows["kind"])
    assert n > 2
    rows |= {f"psf_fwhm_{b}_arcsec": np.full(n, 0.8) for b in BANDS}
    rows |= {f"psf_{e}_{b}": np.zeros(n) for e in ("e1", "e2") for b in BANDS}
    rows |= {"size_pix": np.full(n, 64), "pixel_scale_arcsec": np.full(n, 0.262)}
    rows |= {"render_tolerance": np.full(n, 1e-3), "moffat_beta": np.full(n, 3.5)}
    rows |= {"psf_model": np.full(n, "moffat"), "psf_includes_pixel": np.full(n, True)}
    places = ("source_x_arcsec", "source_y_arcsec", "lens_center_x_arcsec", "lens_center_y_arcsec")
    rows |= {name: np.zeros(n) for name in places}
    rows["source_hlr_arcsec"] = np.full(n, 1.5)
    arcs = render_rows(rows, bank, np.ones(n, bool))
    for i, band in enumerate(BANDS):
        want = rows[f"source_flux_{band}_nmgy"] * rows["magnification"]
        assert_ratio(arcs[:, i].sum((1, 2)), want, 0.05, f"flux in {band}")
    y, x = np.indices((64, 64)) - 31.5
    one_colour = rows | {f"bulge_fraction_{b}": rows["bulge_fraction_r"] for b in BANDS}
    flat = render_rows(one_colour, bank, np.ones(n, bool))
    middle = np.hypot(x, y) < 2
    assert_images_agree(arcs[:, 1], flat[:, 1], 2e-3, "r is the template's own")
    redder = arcs[:, 2, middle].sum(1) / flat[:, 2, middle].sum(1)
    bluer = arcs[:, 0, middle].sum(1) / flat[:, 0, middle].sum(1)
    assert (redder > bluer + 0.005).all()
