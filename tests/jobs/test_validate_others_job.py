"""Stamps of other layouts are judged by what they have."""

import gzip
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from darkhaloscope.cli import run
from darkhaloscope.config import Export
from darkhaloscope.io.files import read_json
from darkhaloscope.io.others import read_rows
from darkhaloscope.jobs.export import export
from darkhaloscope.jobs.looks import look_at

SIDE, SIGMA = 40, 0.004


def _images(n: int, light: float, seed: int) -> np.ndarray:
    """Galaxies in noise; `light` nmgy are added in a ring."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    radius = np.hypot(x, y) * 0.262
    ring = np.exp(-0.5 * ((radius - 1.5) / 0.5) ** 2)
    host = np.exp(-0.5 * (radius / 0.8) ** 2)
    shape = (n, 3, SIDE, SIDE)
    white = SIGMA * rng.standard_normal(shape)
    noise = white + 0.3 * np.roll(white, 1, -1)
    bright = rng.uniform(0.02, 0.2, (n, 1, 1, 1))
    return (noise + bright * host + light * ring / ring.sum()).astype(np.float32)


def _npz(image) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, image_g=image[0], image_r=image[1], image_z=image[2])
    return stream.getvalue()


def _npy(image) -> bytes:
    stream = io.BytesIO()
    np.save(stream, image)
    return stream.getvalue()


FORMS = {
    "stamp_npz": ("stamp_npz", _npz),
    "gzip'd npz": ("stamp_npz", lambda image: gzip.compress(_npz(image))),
    "npy": ("img", _npy),
    "bands last": ("img", lambda image: _npy(np.moveaxis(image, 0, -1))),
    "raw bytes": ("image", lambda image: image.astype("<f4").tobytes()),
    "lists": ("img", lambda image: image.tolist()),
}


def _write(path, images, lens, form="stamp_npz", **columns) -> None:
    name, pack = FORMS[form]
    rng = np.random.default_rng(3)
    n = len(images)
    table = {
        name: [pack(image) for image in images],
        "is_control": (~lens).astype(int),
        "ra": rng.uniform(10, 20, n),
        "dec": rng.uniform(0, 5, n),
        "psfsize_r": rng.uniform(1.2, 1.6, n),
    }
    pq.write_table(pa.table(table | columns), path)


def _set(folder, form="stamp_npz", n=120, light=4.0, **columns):
    lens = np.arange(2 * n) < n
    images = np.concatenate([_images(n, light, 1), _images(n, 0.0, 2)])
    folder.mkdir()
    _write(folder / "a.parquet", images, lens, form, **columns)
    return folder


def _judged(folder, capfd) -> tuple[int, dict[str, dict]]:
    code = run(["validate", str(folder), "--processes", "1"])
    capfd.readouterr()
    return code, {f["gate"]: f for f in read_json(folder / "findings.json")["findings"]}


@pytest.mark.parametrize("form", FORMS)
def test_pixels_are_read_however_they_are_packed(tmp_path, form):
    folder = _set(tmp_path / "set", form, n=2)
    (rows,) = read_rows(folder / "a.parquet")
    want = np.concatenate([_images(2, 4.0, 1), _images(2, 0.0, 2)])
    assert np.array_equal(rows["image"], want)
    assert rows["kind"].tolist() == ["lens", "lens", "host", "host"]
    assert rows["psf_fwhm_r_arcsec"].shape == (4,) and rows["size_pix"][0] == SIDE


def test_a_set_without_pairs_is_judged_and_shown(tmp_path, capfd):
    code, found = _judged(_set(tmp_path / "set"), capfd)
    levels = {gate: f["level"] for gate, f in found.items()}
    assert code == 0
    assert levels["integrity.complete_pairs"] == "warn"
    assert found["integrity.complete_pairs"]["measured"] == "rows are not paired"
    assert levels["probe.arc_control"] == "pass"
    assert levels["physics.added_flux"] == levels["realism.source_colours"] == "skip"
    assert "no column" in found["realism.source_colours"]["measured"]
    assert "Kind lens" in (tmp_path / "set" / "report.html").read_text()


def test_shortcuts_of_a_set_without_pairs_are_seen(tmp_path, capfd):
    folder = _set(tmp_path / "set", light=0.0)
    rows = pq.read_table(folder / "a.parquet")
    lens = rows["is_control"].to_numpy() == 0
    images = np.concatenate([_images(120, 0.0, 1) + 0.002, _images(120, 0.0, 2)])
    _write(folder / "a.parquet", images, lens)
    code, found = _judged(folder, capfd)
    assert code == 1 and found["probe.outer.host"]["level"] == "fail"


def test_our_export_in_the_plans_layout_passes(stamps, tmp_path, capfd):
    export(tmp_path / "theirs", stamps, None, Export(layout="plan"))
    code, found = _judged(tmp_path / "theirs", capfd)
    assert code == 0
    assert found["integrity.complete_pairs"]["level"] == "pass"
    assert found["balance.splits"]["level"] == "pass"
    ours = {f: look_at(stamps).sample[f"probe.{f}"] for f in ("outer", "core")}
    assert sum(len(v) for v in ours.values()) == 2 * 144


def test_one_file_is_a_set_too(tmp_path, capfd):
    folder = _set(tmp_path / "set", n=30)
    assert run(["validate", str(folder / "a.parquet"), "--processes", "1"]) == 0
    capfd.readouterr()
    assert (folder / "report.html").exists()


def _square(side: int) -> bytes:
    return _npy(np.ones((3, side, side)))


def _without(name):
    return lambda t: t.drop_columns([name])


def _with(name, values):
    return lambda t: t.set_column(t.column_names.index(name), name, pa.array(values(t)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_without("stamp_npz"), "no column of pixels; one of stamp_npz, img, image, stamp"),
        (_without("is_control"), "kind, label or is_control is wanted"),
        (_with("stamp_npz", lambda t: [b"PK not a zip"] * len(t)), "a stamp cannot be read"),
        (_with("stamp_npz", lambda t: [_npy(np.ones((3, 4, 5)))] * len(t)), "(3, 4, 5)"),
        (_with("stamp_npz", lambda t: [_square(8 + i % 2) for i in range(len(t))]), "mixes stamps"),
        (_with("stamp_npz", lambda t: [_npz(np.ones((3, 8, 8)))[:90]] * len(t)), "cannot be read"),
        (_with("stamp_npz", lambda t: [b"\x1f\x8b\x08" + bytes(40)] * len(t)), "cannot be read"),
        (_with("is_control", lambda t: [None, *[1] * (len(t) - 1)]), "neither 0 nor 1"),
        (_with("is_control", lambda t: ["no"] * len(t)), "column is_control is no double"),
        (_with("psfsize_r", lambda t: ["wide"] * len(t)), "column psfsize_r is no double"),
        (_with("is_control", lambda t: [1] * len(t)), "no row is a lens"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_judged_are_refused(tmp_path, capfd, change, words):
    folder = _set(tmp_path / "set", n=3)
    path = folder / "a.parquet"
    pq.write_table(change(pq.read_table(path)), path)
    assert run(["validate", str(folder), "--processes", "1"]) == 2
    assert words in " ".join(capfd.readouterr().err.split())
    assert not (folder / "findings.json").exists()


def test_a_damaged_file_and_flags_of_our_sets_are_refused(tmp_path, capfd):
    folder = _set(tmp_path / "set", n=3)
    bank = ["--bank", str(tmp_path / "bank.h5")]
    assert run(["validate", str(folder), *bank]) == 2
    assert "of another layout" in " ".join(capfd.readouterr().err.split())
    (folder / "a.parquet").write_bytes(b"PAR1 cut short")
    assert run(["validate", str(folder), "--processes", "1"]) == 2
    assert "missing or damaged" in capfd.readouterr().err


def _files(folder, first, second) -> None:
    """The same set as two files, each altered."""
    path = folder / "a.parquet"
    table = pq.read_table(path)
    for n, change in enumerate((first, second)):
        pq.write_table(change(table), folder / f"part-{n}.parquet")
    path.unlink()


def _as_it_is(table):
    return table


def _half_size(table):
    small = [_npz(image[:, ::2, ::2]) for image in _images(len(table), 1.0, 4)]
    return table.set_column(table.column_names.index("stamp_npz"), "stamp_npz", pa.array(small))


def _in_degrees(table):
    return table.append_column("pixel_scale_arcsec", pa.array([0.262 / 3600] * len(table)))


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (_as_it_is, _without("psfsize_r"), "differ in the columns psf_fwhm_r_arcsec"),
        (_as_it_is, _half_size, "hold stamps of [20, 40] pixels"),
        (_in_degrees, _in_degrees, "pixel_scale_arcsec must be one value from 0.05 to 2.0"),
    ],
)
def test_files_that_are_no_one_set_are_refused(tmp_path, capfd, first, second, words):
    folder = _set(tmp_path / "set", n=3)
    _files(folder, first, second)
    assert run(["validate", str(folder), "--processes", "1"]) == 2
    assert words in " ".join(capfd.readouterr().err.split())


def test_files_of_one_name_in_two_folders_are_told_apart(tmp_path, capfd):
    folder = _set(tmp_path / "set", n=30)
    table = pq.read_table(folder / "a.parquet")
    for split, rows in (
        ("train", [*range(20), *range(30, 50)]),
        ("val", [*range(20, 30), *range(50, 60)]),
    ):
        (folder / f"region_split={split}").mkdir()
        pq.write_table(table.take(rows), folder / f"region_split={split}" / "part-0.parquet")
    (folder / "a.parquet").unlink()
    code, found = _judged(folder, capfd)
    assert code == 0
    assert found["integrity.unique_tasks"]["level"] == found["balance.splits"]["level"] == "pass"


def test_a_column_that_only_lenses_have_is_seen_without_pairs(tmp_path, capfd):
    leak = np.where(np.arange(240) < 120, 1.2, np.nan)
    code, found = _judged(_set(tmp_path / "set", theta_e_arcsec=leak), capfd)
    assert code == 1
    assert found["integrity.equal_nullity"]["measured"] == "columns: theta_E_arcsec"


def test_places_and_templates_that_are_not_known_spoil_nothing(tmp_path, capfd):
    names = np.where(np.arange(240) < 120, np.arange(240) % 40, None)
    folder = _set(tmp_path / "set", cosmos_index=pa.array(names.tolist()))
    table = pq.read_table(folder / "a.parquet")
    ra = table["ra"].to_numpy().copy()
    ra[5] = np.nan
    table = table.set_column(table.column_names.index("ra"), "ra", pa.array(ra))
    pq.write_table(table, folder / "a.parquet")
    code, found = _judged(folder, capfd)
    assert code == 0 and found["balance.sky"]["level"] in {"pass", "skip"}


def test_a_sample_without_a_lens_is_refused(tmp_path, capfd):
    folder = _set(tmp_path / "set", n=2)
    table = pq.read_table(folder / "a.parquet")
    pq.write_table(table.take([0] + [2, 3] * 400), folder / "a.parquet")
    assert run(["validate", str(folder), "--processes", "1", "--sample-pairs", "20"]) == 2
    assert "raise --sample-pairs" in " ".join(capfd.readouterr().err.split())


def test_rows_that_all_name_one_pair_are_refused(tmp_path, capfd):
    folder = _set(tmp_path / "set", n=700, pair_id=["p"] * 1400)
    assert run(["validate", str(folder), "--processes", "1"]) == 2
    assert "more than 1000 rows" in " ".join(capfd.readouterr().err.split())
