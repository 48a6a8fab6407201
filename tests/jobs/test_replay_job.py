"""Replay: a row's own columns make its pixels, and any change of either is seen."""

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from darkhaloscope.cli import run
from darkhaloscope.config import BankHybrid, Inject
from darkhaloscope.errors import DhsError
from darkhaloscope.io.parts import parts_in
from darkhaloscope.io.tables import columns_of, image_from, read_table, rows_where
from darkhaloscope.jobs.banks import bank_hybrid
from darkhaloscope.report.canvas import png_size
from darkhaloscope.report.words import described
from darkhaloscope.schema import SCENE, STAMPS
from flow import make_stamps


def _replay(capfd, task, stamps, inputs, *words) -> tuple[int, str]:
    """Exit code, and all that was said."""
    code = run(["replay", task, "--stamps", str(stamps), "--bank", str(inputs / "bank.h5"), *words])
    said = capfd.readouterr()
    return code, said.out + " ".join(said.err.split())


def _tasks(stamps, number: int = 1) -> dict[str, str]:
    """A task id of each kind, of one part."""
    table = read_table(parts_in(stamps)[number], STAMPS, ["task_id", "kind"]).to_pylist()
    return {row["kind"]: row["task_id"] for row in table}


def _change(stamps, task: str, name: str, change) -> None:
    """Alter one column of one row."""
    for path in parts_in(stamps):
        table = pq.read_table(path)
        ids = table["task_id"].to_pylist()
        if task in ids:
            values = table[name].to_pylist()
            values[ids.index(task)] = change(values[ids.index(task)])
            place = table.schema.get_field_index(name)
            field = table.schema.field(place)
            pq.write_table(table.set_column(place, field, pa.array(values, field.type)), path)


@pytest.fixture
def copy(stamps, tmp_path):
    return shutil.copytree(stamps, tmp_path / "stamps")


def test_a_row_of_every_kind_is_what_its_columns_make(stamps, inputs, capfd):
    for kind, task in _tasks(stamps).items():
        code, said = _replay(capfd, task, stamps, inputs)
        assert code == 0, said
        assert "equal: stored and replayed differ by 0 nmgy in all 3 x 48 x 48 pixels" in said
        assert f" kind {kind} " in " ".join(said.split())


def test_the_scene_is_said_with_units(stamps, inputs, capfd):
    task = _tasks(stamps)["lens"]
    _, said = _replay(capfd, task, stamps, inputs)
    row = columns_of(rows_where(parts_in(stamps)[1], "task_id", [task], ["theta_E_arcsec"]))
    words = " ".join(said.split())
    assert f"theta_E_arcsec {row['theta_E_arcsec'][0]:.4g} arcsec Einstein radius" in words
    assert "psf_fwhm_*_arcsec g " in words and "FWHM of the effective PSF" in words
    per_band = ("bulge_fraction_", "source_flux_")
    assert all(c.name in said for c in SCENE if not c.name.startswith(per_band))
    assert "source_flux_*_nmgy" in said


def test_every_column_is_in_words_once():
    row = {column.name: 1.0 for column in SCENE}
    lines = described(row, SCENE)
    folded = [line for line in lines if "_*" in line]
    assert len(lines) == len(SCENE) - 2 * len(folded)
    assert {line.split()[0] for line in folded} == {"bulge_fraction_*", "source_flux_*_nmgy"}


def test_the_host_may_come_from_its_cutout(stamps, inputs, capfd):
    for task in _tasks(stamps).values():
        code, said = _replay(capfd, task, stamps, inputs, "--cutouts", str(inputs / "cutouts"))
        assert code == 0, said


def _one_pixel(data: bytes) -> bytes:
    image = np.frombuffer(data, "<f4").copy()
    image[2000] = np.nextafter(image[2000], np.float32(np.inf))
    return image.tobytes()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("image", _one_pixel),
        ("image", lambda data: np.full(len(data) // 4, np.nan, "<f4").tobytes()),
        ("theta_E_arcsec", lambda value: value * 1.01),
        ("psf_fwhm_z_arcsec", lambda value: value + 0.01),
        ("template_index", lambda value: (value + 1) % 40),
        ("source_flux_g_nmgy", lambda value: value * 1.001),
        ("electrons_per_nmgy_r", lambda value: value * 2),
    ],
)
def test_one_pixel_or_one_column_altered_is_seen(copy, inputs, capfd, name, change):
    task = _tasks(copy)["lens"]
    _change(copy, task, name, change)
    code, said = _replay(capfd, task, copy, inputs)
    assert code == 1
    assert "NOT EQUAL: largest difference" in said


def test_an_altered_host_is_seen_with_its_cutout(copy, inputs, capfd):
    """The row that shows the host alone agrees with itself; the cutout does not."""
    task = _tasks(copy)["host"]
    _change(copy, task, "image", _one_pixel)
    assert _replay(capfd, task, copy, inputs)[0] == 0
    code, said = _replay(capfd, task, copy, inputs, "--cutouts", str(inputs / "cutouts"))
    assert code == 1
    assert "in 1 pixels" in said


def test_the_picture(stamps, copy, inputs, capfd, tmp_path):
    task = _tasks(stamps)["lens"]
    pictures = [tmp_path / f"{i}.png" for i in range(3)]
    for path in pictures[:2]:
        assert _replay(capfd, task, stamps, inputs, "--out", str(path))[0] == 0
    _change(copy, task, "image", _one_pixel)
    assert _replay(capfd, task, copy, inputs, "--out", str(pictures[2]))[0] == 1
    data = [path.read_bytes() for path in pictures]
    assert data[0] == data[1] != data[2]
    width, height = png_size(data[0])
    assert 900 < width < height < 1400
    dark = tmp_path / "host.png"
    assert _replay(capfd, _tasks(stamps)["host"], stamps, inputs, "--out", str(dark))[0] == 0


def test_an_unknown_row_and_the_ones_like_it(stamps, inputs, capfd):
    task = _tasks(stamps)["lens"]
    code, said = _replay(capfd, task.replace("syn", "sin"), stamps, inputs)
    assert code == 2
    assert f"did you mean {task}" in said


def test_another_bank_is_refused(stamps, inputs, tmp_path, capfd):
    bank_hybrid(tmp_path / "bank.h5", BankHybrid(n_sources=41))
    code, said = _replay(capfd, _tasks(stamps)["lens"], stamps, tmp_path)
    assert code == 2
    assert "was not made from" in said and "give the bank that it was planned with" in said


def test_other_cutouts_are_refused(stamps, inputs, tmp_path, capfd):
    from darkhaloscope.config import CutoutsSynthetic
    from darkhaloscope.jobs.synthetic import cutouts_synthetic

    cutouts_synthetic(tmp_path / "cutouts", CutoutsSynthetic(n_hosts=2, size_pix=48), 1)
    words = ["--cutouts", str(tmp_path / "cutouts")]
    code, said = _replay(capfd, _tasks(stamps)["lens"], stamps, inputs, *words)
    assert code == 2
    assert "the set was not made from" in said


def test_a_set_that_is_not_finished(copy, inputs, capfd):
    task = _tasks(copy)["lens"]
    (copy / "run.json").unlink()
    code, said = _replay(capfd, task, copy, inputs)
    assert code == 2
    assert "holds no finished stamp set" in said


def test_a_host_that_no_row_shows_alone_needs_the_cutouts(copy, inputs, capfd):
    task = _tasks(copy)["lens"]
    path = parts_in(copy)[1]
    table = pq.read_table(path)
    pq.write_table(table.filter(pa.compute.not_equal(table["kind"], "host")), path)
    code, said = _replay(capfd, task, copy, inputs)
    assert code == 2
    assert "give --cutouts" in said
    assert _replay(capfd, task, copy, inputs, "--cutouts", str(inputs / "cutouts"))[0] == 0


def test_a_quarantined_row_says_its_cause(inputs, tmp_path, capfd):
    cfg = Inject(psf_model="image", min_usable_fraction=0)  # no PSF image: nothing is usable
    with pytest.raises(DhsError, match="too few usable"):
        make_stamps(inputs, tmp_path / "stamps", cfg=cfg)
    bad = pq.read_table(tmp_path / "stamps" / "quarantine" / "part-00000.parquet")
    task = bad["task_id"][0].as_py()
    code, said = _replay(capfd, task, tmp_path / "stamps", inputs)
    assert code == 2
    assert f"{task} is in quarantine: NO_PSF" in said
    assert "theta_E_arcsec" in said


def test_only_the_row_groups_that_hold_the_row_are_read(stamps):
    path = parts_in(stamps)[0]
    task = _tasks(stamps, 0)["lens"]
    row = columns_of(rows_where(path, "task_id", [task], ["image", "size_pix"]))
    assert image_from(row["image"][0], int(row["size_pix"][0])).shape == (3, 48, 48)
    assert not len(rows_where(path, "task_id", ["none"], ["image"]))
    with pytest.raises(DhsError, match="lacks the columns no_such"):
        rows_where(path, "task_id", [task], ["no_such"])
