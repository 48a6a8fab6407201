"""Cutouts saved as .npz: real ones are read, wrong ones named."""

import gc
import warnings
import zipfile

import numpy as np
import pytest

from darkhaloscope.errors import DhsError
from darkhaloscope.survey.npz import find_cutouts, read_cutout


def _content(**changed):
    image = np.random.default_rng(0).normal(0, 0.01, (40, 40, 3)).astype(np.float32)
    content = {"cutout": image, "meta_ra": 10.5, "meta_dec": -3.25, "meta_brickname": "0105m032"}
    content |= changed
    return {key: value for key, value in content.items() if value is not None}


def _save(tmp_path, **changed):
    path = tmp_path / "0105m032_7.npz"
    np.savez(path, **_content(**changed))
    return path


def test_a_cutout_is_read_as_band_y_x(tmp_path):
    image = np.zeros((40, 40, 3), np.float64)
    image[5, 9, 2] = 0.7  # row 5, column 9, z band
    got = read_cutout(_save(tmp_path, cutout=image))
    assert got.image.shape == (3, 40, 40) and got.image.dtype == np.float32
    assert got.image[2, 5, 9] == np.float32(0.7) and np.count_nonzero(got.image) == 1
    assert got.image.flags.c_contiguous
    assert (got.name, got.ra_deg, got.dec_deg) == ("0105m032_7", 10.5, -3.25)
    assert (got.brick, got.pixel_scale) == ("0105m032", 0.262)


def test_real_cutouts_are_read(real_data):
    paths = find_cutouts(real_data / "dr10_cutouts")
    assert len(paths) == 3
    for path in paths:
        cutout = read_cutout(path)
        assert cutout.image.shape == (3, 101, 101)
        assert np.isfinite(cutout.image).all()
        assert cutout.name.startswith(cutout.brick) and cutout.brick
        core = cutout.image[:, 45:56, 45:56].sum((1, 2))
        assert core[0] < core[1] < core[2]  # red: bands are g, r, z in this order
        edge = cutout.image[:, :11, :11].sum((1, 2))
        assert (core > 5 * np.abs(edge)).all()  # a galaxy at the centre


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"cutout": np.zeros((3, 40, 40), "f4")}, r"shape \(3, 40, 40\).*bands last"),
        ({"cutout": np.zeros((40, 41, 3), "f4")}, r"shape \(40, 41, 3\)"),
        ({"cutout": np.zeros((40, 40, 4), "f4")}, r"shape \(40, 40, 4\)"),
        ({"cutout": np.zeros((40, 40), "f4")}, r"shape \(40, 40\)"),
        ({"cutout": np.zeros((40, 40, 3), np.int16)}, "holds int16, must be floats in nmgy"),
        ({"cutout": np.zeros((40, 40, 3), np.uint8)}, "holds uint8"),
        ({"cutout": np.zeros((31, 31, 3), "f4")}, "31 pixels wide, must be at least 32"),
        ({"cutout": None}, "lacks cutout; needed: cutout, meta_ra, meta_dec"),
        ({"meta_ra": None, "meta_dec": None}, "lacks meta_dec, meta_ra"),
        ({"meta_dec": 32.5}, r"Dec 32\.500 lies north of 32\.375.*DECam"),
        ({"meta_pixel_scale": 0.27}, r"pixel scale 0\.27 arcsec, must be 0\.262"),
        ({"cutout": np.array([{"a": 1}], object)}, "not a readable"),
    ],
)
def test_a_wrong_cutout_is_refused_and_named(tmp_path, changed, words):
    path = _save(tmp_path, **changed)
    with pytest.raises(DhsError, match=words) as caught:
        read_cutout(path)
    assert str(path) in str(caught.value)


def test_the_south_and_the_surveys_pixels_pass(tmp_path):
    assert read_cutout(_save(tmp_path, meta_dec=32.3)).dec_deg == 32.3
    assert read_cutout(_save(tmp_path, meta_pixel_scale=0.2620)).pixel_scale == 0.262
    assert read_cutout(_save(tmp_path, meta_brickname=None)).brick == ""


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
def test_a_truncated_file_is_refused_and_named(tmp_path, kept):
    path = _save(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(DhsError, match=r"0105m032_7\.npz: not a readable \.npz"):
        read_cutout(path)


def test_a_truncated_file_is_closed(tmp_path):
    path = _save(tmp_path)
    path.write_bytes(path.read_bytes()[:3000])
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with pytest.raises(DhsError):
            read_cutout(path)
        gc.collect()
    assert not [str(w.message) for w in seen if w.category is ResourceWarning]


def test_a_damaged_member_is_refused_and_named(tmp_path):
    path = _save(tmp_path)
    data = bytearray(path.read_bytes())
    data[2000:2040] = b"\x00\xff" * 20
    path.write_bytes(data)
    with pytest.raises(DhsError, match="not a readable"):
        read_cutout(path)


def test_a_zip_of_something_else_and_a_text_file_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "no arrays")
    with pytest.raises(DhsError, match=r"a\.npz lacks cutout"):
        read_cutout(path)
    path.write_text("ra,dec\n")
    with pytest.raises(DhsError, match=r"a\.npz: not a readable"):
        read_cutout(path)


def test_a_bare_array_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    with path.open("wb") as stream:
        np.save(stream, np.zeros((40, 40, 3), "f4"))
    with pytest.raises(DhsError, match="not a readable"):
        read_cutout(path)


def test_cutouts_are_found_in_order(tmp_path):
    for name in ("b.npz", "a.npz", "c.txt"):
        (tmp_path / name).write_bytes(b"")
    assert [p.name for p in find_cutouts(tmp_path)] == ["a.npz", "b.npz"]
    assert find_cutouts(tmp_path / "b.npz") == [tmp_path / "b.npz"]


def test_no_cutouts_is_a_sentence(tmp_path):
    for place in (tmp_path, tmp_path / "none"):
        with pytest.raises(DhsError, match=r"holds no \.npz cutout"):
            find_cutouts(place)
