"""Export: other people's readers find the pixels and columns that the stamp set holds."""

import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from darkhaloscope.cli import run
from darkhaloscope.config import Export
from darkhaloscope.errors import DhsError
from darkhaloscope.io.bank import read_bank
from darkhaloscope.io.files import at, read_json, sha256
from darkhaloscope.io.parts import RECORD, digest_of_sums, parts_in
from darkhaloscope.io.shards import key_of, write_shard
from darkhaloscope.io.tables import columns_of, image_from, read_table
from darkhaloscope.jobs.engine import Local
from darkhaloscope.jobs.export import export
from darkhaloscope.jobs.plan_layout import PLAN_LAYOUT
from darkhaloscope.schema import STAMPS
from darkhaloscope.units import BANDS
from memory import peaks_mib
from s3 import BUCKET, bucket

DOCS = Path(__file__).parents[2] / "docs"
LAYOUTS = ("plan", "webdataset", "fits")
SMALL = {"rows_per_shard": 10, "shuffle_rows": 40}


def _ours(stamps: Path) -> dict[str, dict]:
    """Every stored row by its task id, its image as an array."""
    rows = pa.concat_tables([read_table(path, STAMPS) for path in parts_in(stamps)]).to_pylist()
    for row in rows:
        row["image"] = image_from(row["image"], row["size_pix"])
    return {row["task_id"]: row for row in rows}


def _sums(folder: Path) -> dict[str, str]:
    files = [p for p in folder.rglob("*") if p.is_file() and p.suffix != ".json"]
    return {str(path.relative_to(folder)): sha256(path) for path in files}


@pytest.fixture(scope="module")
def ours(stamps):
    return _ours(stamps)


@pytest.fixture(scope="module")
def exported(stamps, inputs, tmp_path_factory):
    """The set in every layout, by one process."""
    folder = tmp_path_factory.mktemp("exported")
    for layout in LAYOUTS:
        export(folder / layout, stamps, None, Export(layout=layout, **SMALL))
    return folder


def test_the_plans_table_says_what_ours_does(exported, ours):
    table = pq.read_table(exported / "plan" / "stamps")  # as Hive folders, region_split from names
    theirs = {row["task_id"]: row for row in table.to_pylist()}
    assert theirs.keys() == ours.keys()
    same = {
        "theta_e_arcsec": "theta_E_arcsec", "ra": "ra_deg", "dec": "dec_deg", "ebv": "ebv_mag",
        "psfsize_r": "psf_fwhm_r_arcsec", "psfdepth_z": "psf_depth_z_mag", "brickname": "brick",
        "magnification": "magnification", "arc_snr": "arc_snr", "region_split": "split",
        "cosmos_index": "template_index", "cosmos_hlr_arcsec": "source_hlr_arcsec",
        "src_reff_arcsec": "source_hlr_arcsec", "stamp_size": "size_pix",
    }  # fmt: skip
    for task, row in theirs.items():
        mine = ours[task]
        assert {name: row[name] for name in same} == {n: mine[m] for n, m in same.items()}
        assert row["is_control"] == (mine["kind"] != "lens")
        assert (row["cutout_ok"], row["bandset"], row["lens_model"]) == (1, "grz", "SIE")
        assert row["source_mode"] == "hybrid"
        assert row["shear"] ** 2 == pytest.approx(mine["gamma1"] ** 2 + mine["gamma2"] ** 2)
        assert (1 - row["lens_e"]) / (1 + row["lens_e"]) == pytest.approx(mine["lens_q"])
        ratio = 10 ** (-0.4 * (row["src_dmag"] + mine["host_mag_r"] - 22.5))
        assert ratio == pytest.approx(mine["source_flux_r_nmgy"])
        with np.load(io.BytesIO(row["stamp_npz"])) as npz:
            assert npz.files == ["image_g", "image_r", "image_z"]
            for band, image in zip(BANDS, mine["image"], strict=True):
                assert npz[f"image_{band}"].dtype == np.float32
                assert np.array_equal(npz[f"image_{band}"], image)


def test_the_plans_table_is_read_as_its_training_does(exported):
    """Hive folders, filters on region_split and cutout_ok, few columns."""
    data = pa.dataset.dataset(exported / "plan" / "stamps", format="parquet", partitioning="hive")
    chosen = (pc.field("region_split") == "train") & (pc.field("cutout_ok") == 1)
    table = data.to_table(filter=chosen, columns=["stamp_npz", "is_control"])
    assert len(table) and set(table["is_control"].to_pylist()) == {0, 1}


def test_no_column_of_the_plans_table_is_null_or_undocumented(exported):
    page = (DOCS / "export.md").read_text()
    for column in PLAN_LAYOUT:
        assert re.search(rf"`{column.name.replace('_g', '_[g*]')}`", page) or re.search(
            rf"`{re.sub('_[grz]$', '_[*]', column.name)}`", page
        ), column.name
    for path in (exported / "plan" / "stamps").rglob("*.parquet"):
        table = pq.read_table(path, partitioning=None)
        assert table.column_names == [column.name for column in PLAN_LAYOUT]
        assert all(table[name].null_count == 0 for name in table.column_names)


def test_compressed_npz_holds_the_same(stamps, ours, tmp_path):
    export(tmp_path / "out", stamps, None, Export(npz_compressed=True))
    row = pq.read_table(tmp_path / "out" / "stamps").slice(3, 1).to_pylist()[0]
    with np.load(io.BytesIO(row["stamp_npz"])) as npz:
        assert np.array_equal(npz["image_r"], ours[row["task_id"]]["image"][1])


def test_the_bank_says_where_templates_are_from(stamps, inputs, tmp_path):
    export(tmp_path / "out", stamps, inputs / "bank.h5", Export())
    table = pq.read_table(tmp_path / "out" / "stamps")
    source = read_bank(inputs / "bank.h5").columns["source"][table["cosmos_index"].to_numpy()]
    assert table["source_mode"].to_pylist() == source.tolist()


def _samples(path: Path) -> list[tuple[str, dict[str, bytes]]]:
    """Samples of a shard by the library's rule: consecutive files with one name up to a dot."""
    samples: list[tuple[str, dict[str, bytes]]] = []
    with tarfile.open(path) as tar:
        for member in tar:
            found = re.match(r"^((?:.*/|)[^.]+)[.]([^/]*)$", member.name)
            assert found and (member.mtime, member.uid, member.uname) == (0, 0, "")
            key, extension = found.groups()
            if not samples or samples[-1][0] != key:
                samples.append((key, {}))
            content = tar.extractfile(member)
            assert content is not None
            samples[-1][1][extension] = content.read()
    return samples


def test_shards_hold_every_row_once(exported, ours):
    seen = []
    for split in ("train", "val", "test"):
        shards = sorted((exported / "webdataset").glob(f"{split}-*.tar"))
        numbers = [int(path.stem.split("-")[1]) for path in shards]
        assert numbers == list(range(len(shards))) and shards
        for key, sample in (s for path in shards for s in _samples(path)):
            task = unquote(key)
            row = json.loads(sample["json"])
            mine = ours[task]
            assert np.array_equal(np.load(io.BytesIO(sample["npy"])), mine["image"])
            assert int(sample["cls"]) == mine["label"]
            assert row == {n: mine[n] for n in row} and row["task_id"] == task
            assert row["split"] == split
            seen.append(task)
    assert sorted(seen) == sorted(ours)


def test_shards_are_mixed_and_of_the_size_asked(exported, ours):
    shards = sorted((exported / "webdataset").glob("train-*.tar"))
    assert len(shards) > 2
    mixed = 0
    for path in shards:
        tasks = [unquote(key) for key, _ in _samples(path)]
        assert len(tasks) <= 10
        pairs = [ours[task]["pair_id"] for task in tasks]
        mixed += pairs != sorted(pairs)
    assert mixed == len(shards)


def test_task_ids_with_dots_stay_apart(tmp_path):
    tasks = ["J1.5-00-lens", "J1.7-00-lens", "a/b%2E.c"]
    write_shard(tmp_path / "x.tar", ((task, {"cls": task.encode()}) for task in tasks))
    samples = _samples(tmp_path / "x.tar")
    assert [(unquote(key), sample["cls"].decode()) for key, sample in samples] == [
        (task, task) for task in tasks
    ]
    assert not set(key_of("a/b%2E.c")) & {".", "/"}


def test_fits_parts_hold_images_and_every_column(exported, stamps, ours):
    for part in parts_in(stamps):
        with fits.open(exported / "fits" / f"{part.stem}.fits") as hdus:
            hdus.verify("exception")
            table, images = hdus["ROWS"], hdus["IMAGE"].data
            assert hdus["IMAGE"].header["BUNIT"] == "nanomaggy"
            units = {column.name: column.unit for column in table.columns}
            assert units["theta_E_arcsec"] == "arcsec" and units["arc_flux_g_nmgy"] == "nanomaggy"
            assert images.shape[0] == len(table.data)
            for image, row in zip(images, table.data, strict=True):
                mine = ours[row["task_id"]]
                assert np.array_equal(image, mine["image"])
                for name in ("theta_E_arcsec", "kind", "label", "flags", "photon_noise", "ra_deg"):
                    assert row[name] == mine[name]


def _wcs_of(row, names) -> WCS:
    return WCS(fits.Header({name: row[name] for name in names}))


def test_fits_rows_know_where_they_lie(exported, ours):
    names = ["CTYPE1", "CTYPE2", "CUNIT1", "CUNIT2", "CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2"]
    names += ["CD1_1", "CD1_2", "CD2_1", "CD2_2"]
    rows = fits.getdata(exported / "fits" / "part-00000.fits", "ROWS")
    for row in rows[::5]:
        wcs = _wcs_of(row, names)
        mine = ours[row["task_id"]]
        middle = (mine["size_pix"] - 1) / 2
        want = [middle + mine[f"host_center_{a}_arcsec"] / 0.262 for a in "xy"]
        assert np.allclose(wcs.all_world2pix(mine["ra_deg"], mine["dec_deg"], 0), want, atol=1e-6)
        ra, dec = wcs.all_pix2world([middle, middle + 5], [middle, middle + 5], 0)
        assert ra[1] < ra[0] and dec[1] > dec[0]  # East is -x, North is +y
        step = np.hypot((ra[1] - ra[0]) * np.cos(np.radians(dec[0])), dec[1] - dec[0]) * 3600
        assert step == pytest.approx(5 * np.sqrt(2) * 0.262, rel=1e-5)


def test_fits_of_named_rows_are_files_of_their_own(stamps, ours, tmp_path):
    tasks = sorted(ours)[3:5]
    export(tmp_path / "out", stamps, None, Export(layout="fits", task_id=tuple(tasks)))
    assert len(list((tmp_path / "out").glob("*.fits"))) == 2
    for task in tasks:
        with fits.open(tmp_path / "out" / f"{task}.fits") as hdus:
            hdus.verify("exception")
            assert np.array_equal(hdus["IMAGE"].data, ours[task]["image"])
            assert hdus["ROWS"].data["task_id"].tolist() == [task]
            wcs = WCS(hdus["IMAGE"].header).celestial
            x, y = wcs.all_world2pix(ours[task]["ra_deg"], ours[task]["dec_deg"], 0)
            assert abs(x - 23.5) < 2 and abs(y - 23.5) < 2


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_processes_and_a_damaged_file_give_the_same_bytes(exported, stamps, tmp_path, layout):
    out, want = tmp_path / "out", _sums(exported / layout)
    cfg = Export(layout=layout, **SMALL)
    export(out, stamps, None, cfg, Local(2))
    assert _sums(out) == want
    assert (out / RECORD).read_bytes() == (exported / layout / RECORD).read_bytes()
    record = read_json(out / RECORD)
    assert record["files"] == want and record["digest"] == digest_of_sums(want)
    victim, *others = sorted(want)
    before = {name: (out / name).stat().st_mtime_ns for name in others}
    (out / victim).write_bytes(b"cut short")
    export(out, stamps, None, cfg)
    assert _sums(out) == want
    kept = [name for name, time_ in before.items() if (out / name).stat().st_mtime_ns == time_]
    assert kept, "whole files were made again"


def test_a_killed_export_resumes_to_the_same_bytes(exported, stamps, tmp_path):
    out = tmp_path / "killed"
    command = [
        sys.executable, "-m", "darkhaloscope.cli", "export", stamps, "--out", out,
        "--layout", "webdataset", "--rows-per-shard", "10", "--shuffle-rows", "40",
        "--processes", "1",
    ]  # fmt: skip
    process = subprocess.Popen([str(word) for word in command], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(out.glob("*.tar")) and time.monotonic() < deadline:
        time.sleep(0.002)
    process.kill()
    process.wait()
    (out / "stamps").mkdir(parents=True, exist_ok=True)
    (out / "stamps" / ".left.tar.host-1.partial").write_bytes(b"of a killed run")
    export(out, stamps, None, Export(layout="webdataset", **SMALL))
    assert _sums(out) == _sums(exported / "webdataset")


def test_an_export_into_another_ones_folder_is_refused(exported, stamps):
    with pytest.raises(DhsError, match="parts of another run: config differ"):
        export(exported / "fits", stamps, None, Export(layout="plan"))
    with pytest.raises(DhsError, match="parts of another run"):
        export(stamps, stamps, None, Export(layout="plan"))


def test_an_altered_set_is_not_exported(stamps, tmp_path):
    copy = shutil.copytree(stamps, tmp_path / "stamps")
    part = parts_in(copy)[1]
    pq.write_table(pq.read_table(part), part, compression="gzip")
    with pytest.raises(DhsError, match=r"part-00001\.parquet is not what its run wrote"):
        export(tmp_path / "out", copy, None, Export())
    assert not (tmp_path / "out" / RECORD).exists()


def test_unknown_rows_and_unfinished_sets(stamps, inputs, tmp_path, capfd):
    words = ["export", str(stamps), "--out", str(tmp_path / "out"), "--processes", "1"]
    tasks = columns_of(read_table(parts_in(stamps)[0], STAMPS, ["task_id"]))["task_id"]
    task = next(task for task in tasks if task.endswith("-lens"))
    assert run([*words, "--task-id", task.replace("lens", "lans")]) == 2
    assert f"did you mean {task}" in " ".join(capfd.readouterr().err.split())
    assert run(["export", str(inputs / "plan"), "--out", str(tmp_path / "out")]) == 2
    assert "is no stamp set but a plan folder" in " ".join(capfd.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_an_object_store_takes_and_gives(exported, stamps, tmp_path):
    with bucket() as client:
        for path in sorted(stamps.iterdir()):
            client.upload_file(str(path), BUCKET, f"set/{path.name}")
        source, target = at(f"s3://{BUCKET}/set"), at(f"s3://{BUCKET}/out")
        export(target, source, None, Export(layout="fits", **SMALL))
        export(target, source, None, Export(layout="fits", **SMALL))
        for name, digest in _sums(exported / "fits").items():
            client.download_file(BUCKET, f"out/{name}", str(tmp_path / "back"))
            assert sha256(tmp_path / "back") == digest


def _export(out: Path, stamps: Path, layout: str) -> None:
    export(out, stamps, None, Export(layout=layout, rows_per_shard=10, shuffle_rows=20))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_memory_does_not_grow_with_the_set(stamps, tmp_path, layout):
    """A set of ten times as many parts takes no more memory."""
    from darkhaloscope.io.files import write_json

    many = tmp_path / "many"
    many.mkdir()
    record = read_json(stamps / RECORD)
    sums = {}
    for _ in range(10):
        for path in parts_in(stamps):
            name = f"part-{len(sums):05d}.parquet"
            (many / name).symlink_to(path)
            sums[name] = record["parts"][path.name]
    write_json(many / RECORD, record | {"parts": sums})
    calls = [(tmp_path / "small", stamps, layout), (tmp_path / "large", many, layout)]
    small, large = peaks_mib(_export, *calls)
    assert large < small + 25, f"{small:.0f} MiB for {len(sums) // 10} parts, {large:.0f} for 10x"


def test_pixels_of_all_psf_models_travel(inputs, tmp_path):
    """Sets with PSF images: FITS has them, in the middle of one size."""
    from darkhaloscope.jobs.layouts import _psfs

    rng = np.random.default_rng(1)
    psfs = [rng.random((3, n, n), np.float32) for n in (5, 9)]
    rows = {
        "psf_image": np.array([p.tobytes() for p in psfs] + [b""], object),
        "psf_size_pix": np.array([5, 9, 0]),
    }
    cube = _psfs(rows, 9)
    assert np.array_equal(cube[0, :, 2:7, 2:7], psfs[0]) and np.array_equal(cube[1], psfs[1])
    assert not cube[2].any()
