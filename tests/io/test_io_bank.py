"""The source bank: what is written is read, and nothing damaged or foreign is."""

import json

import h5py
import numpy as np
import pytest

from darkhaloscope.errors import DhsError
from darkhaloscope.io.bank import (
    COLUMNS,
    MADE,
    REJECTED,
    TEXT,
    Rejects,
    bank_writer,
    read_bank,
    read_rejects,
    write_bank,
)
from darkhaloscope.io.files import sha256
from tolerance import assert_within


def _images(n=5, size=32) -> np.ndarray:
    images = np.abs(np.random.default_rng(1).normal(1, 0.3, (n, size, size)))
    images[:, 3, 4] = -0.2  # negative pixels are allowed
    return (images / images.sum((1, 2), keepdims=True)).astype(np.float32)


def _columns(n=5) -> dict:
    return {name: np.full(n, value) for name, value in MADE.items()} | {
        "template_id": [f"galaxy é {i}" for i in range(n)],
        "source": ["hybrid"] * n,
        "split": ["train", "val", "test", "train", "val"][:n],
        "hlr_arcsec": np.linspace(0.1, 0.5, n),
        "clumpiness": np.linspace(0.02, 0.2, n),
        "clump_fraction": np.linspace(0, 0.4, n),
    }


IDENTITY = {"stage": "bank", "config": json.dumps({"seed": 1})}


def _write(path, images=None, columns=None, **more):
    images = _images() if images is None else images
    columns = _columns() if columns is None else columns
    about = {"pixel_scale": 0.03, "psf_fwhm": 0.15, "identity": IDENTITY} | more
    write_bank(path, images, columns, **about)
    return path


@pytest.fixture
def bank_path(tmp_path):
    return _write(tmp_path / "bank.h5")


def test_round_trip(bank_path):
    bank = read_bank(bank_path)
    assert len(bank) == 5
    assert bank.templates(slice(None)).dtype == np.float32 and bank.size == 32
    assert_within(bank.templates(slice(None)), _images(), 1e-9, "templates")
    assert (bank.pixel_scale, bank.psf_fwhm, bank.identity) == (0.03, 0.15, IDENTITY)
    assert set(bank.columns) == set(COLUMNS)
    for name, want in _columns().items():
        got = bank.columns[name]
        if name in TEXT:
            assert got.tolist() == want
        else:
            np.testing.assert_array_equal(got, want)
    assert bank.of_split("train").tolist() == [0, 3]
    assert bank.of_split("val").tolist() == [1, 4]


def test_images_are_a_memory_map_of_the_file(bank_path):
    images = read_bank(bank_path).stored
    assert isinstance(images, np.memmap) and not images.flags.writeable


def test_the_same_bank_has_the_same_bytes(tmp_path):
    one, two = _write(tmp_path / "a.h5"), _write(tmp_path / "b.h5")
    assert sha256(one) == sha256(two) == read_bank(one).digest()


def test_the_file_says_what_its_numbers_are(bank_path):
    with h5py.File(bank_path) as file:
        assert file.attrs["src_pixscale_arcsec"] == 0.03
        assert file.attrs["intrinsic_psf_fwhm_arcsec"] == 0.15
        assert file["hlr_arcsec"].attrs["meaning"] == COLUMNS["hlr_arcsec"]
        assert file["images"].compression is None and file["images"].chunks is None


def test_a_missing_bank_says_how_to_make_one(tmp_path):
    with pytest.raises(DhsError, match=r"none\.h5 does not exist; make one with .dhs bank"):
        read_bank(tmp_path / "none.h5")
    with pytest.raises(DhsError, match="does not exist"):
        read_bank(tmp_path)  # a folder


@pytest.mark.parametrize("kept", [0.0, 0.02, 0.3, 0.7, 0.95])
def test_a_truncated_bank_is_refused(bank_path, kept):
    data = bank_path.read_bytes()
    bank_path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(DhsError, match=r"bank\.h5 is damaged or no HDF5.*make it again"):
        read_bank(bank_path)


def test_another_kind_of_file_is_refused(tmp_path):
    path = tmp_path / "bank.h5"
    path.write_text("template,flux\n")
    with pytest.raises(DhsError, match="damaged or no HDF5"):
        read_bank(path)


def test_a_foreign_hdf5_is_refused(tmp_path):
    path = tmp_path / "bank.h5"
    with h5py.File(path, "w") as file:
        file["images"] = _images()
    with pytest.raises(DhsError, match="HDF5 but no source bank of format darkhaloscope-bank 2"):
        read_bank(path)


def test_another_version_is_refused(bank_path):
    with h5py.File(bank_path, "r+") as file:
        file.attrs["version"] = 1
    with pytest.raises(DhsError, match="no source bank of format"):
        read_bank(bank_path)


@pytest.mark.parametrize("name", ["images", "split", "hlr_arcsec"])
def test_a_bank_that_lacks_a_dataset_is_refused(bank_path, name):
    with h5py.File(bank_path, "r+") as file:
        del file[name]
    with pytest.raises(DhsError, match=f"damaged.*{name}"):
        read_bank(bank_path)


def test_images_that_cannot_be_mapped_are_refused(bank_path):
    for change in ({"compression": "gzip"}, {"dtype": "<f8"}, {"dtype": ">f4"}):
        with h5py.File(bank_path, "r+") as file:
            del file["images"]
            file.create_dataset("images", data=_images(), **change)
        with pytest.raises(DhsError, match="contiguous"):
            read_bank(bank_path)


@pytest.mark.parametrize("flux", [0.0, 1.01, -1.0, np.nan])
def test_a_template_without_unit_flux_is_neither_written_nor_read(tmp_path, flux):
    images = _images()
    images[3] *= flux
    path = tmp_path / "bank.h5"
    with pytest.raises(DhsError, match=r"template 3 has flux .* where 1 is required \(1 of 5"):
        _write(path, images)
    assert not list(tmp_path.iterdir())
    _write(path)
    with h5py.File(path, "r+") as file:
        file["images"][3] = images[3]
    with pytest.raises(DhsError, match="template 3 has flux"):
        read_bank(path)


def test_an_empty_bank_is_refused(tmp_path):
    with pytest.raises(DhsError, match="holds no template"):
        _write(tmp_path / "bank.h5", _images()[:0], {n: [] for n in COLUMNS})


def test_columns_must_be_those_of_a_bank(tmp_path):
    columns = _columns()
    columns["hlr"] = columns.pop("hlr_arcsec")
    with pytest.raises(ValueError, match="a bank has the columns"):
        _write(tmp_path / "bank.h5", columns=columns)
    assert not list(tmp_path.iterdir())


def test_columns_must_be_as_long_as_the_images(tmp_path):
    columns = _columns()
    columns["hlr_arcsec"] = columns["hlr_arcsec"][:3]
    with pytest.raises((ValueError, DhsError), match="hlr_arcsec"):
        _write(tmp_path / "bank.h5", columns=columns)


def test_a_bank_is_not_replaced_by_a_broken_one(bank_path):
    before = bank_path.read_bytes()
    columns = _columns()
    columns["hlr_arcsec"] = ["not a number"] * 5
    with pytest.raises(ValueError, match="could not convert"):
        _write(bank_path, columns=columns)
    assert bank_path.read_bytes() == before
    assert [p.name for p in bank_path.parent.iterdir()] == ["bank.h5"]
    assert_within(read_bank(bank_path).templates(slice(None)).sum((1, 2)), np.ones(5), 1e-3, "flux")


def test_a_fault_between_those_looked_at_is_found_when_it_is_used(tmp_path):
    images = np.repeat(_images(1), 600, axis=0)
    columns = {name: np.repeat(values[:1], 600) for name, values in _columns().items()}
    path = _write(tmp_path / "bank.h5", images, columns)
    with h5py.File(path, "r+") as file:
        file["images"][7] = 0
    bank = read_bank(path)
    assert len(bank.templates([6, 8])) == 2
    with pytest.raises(DhsError, match="template 7 has flux 0 where 1 is required"):
        bank.templates([6, 7])


def test_half_precision_is_near_and_says_how_near(tmp_path):
    images = _images()
    about = {"pixel_scale": 0.03, "psf_fwhm": 0.15, "identity": IDENTITY, "dtype": "float16"}
    with bank_writer(tmp_path / "half.h5", _columns(), size=32, **about) as writer:
        writer.add(images[:2])
        writer.add(images[2:])
    bank = read_bank(tmp_path / "half.h5")
    assert bank.stored.dtype == np.float16
    got = bank.templates(slice(None))
    worst = (np.abs(got - images).max((1, 2)) / images.max((1, 2))).max()
    assert 0 < worst < 5e-4 and 0.5 * worst < writer.worst_error < 2 * worst
    assert_within(got.sum((1, 2)), np.ones(5), 1e-6, "flux")


def test_what_was_turned_away_is_kept_with_pictures(tmp_path, bank_path):
    columns = {name: np.array([np.nan, 1.0]) for name in REJECTED}
    columns |= {"template_id": np.array(["a", "é"]), "reason": np.array(["bad stamp", "blended"])}
    pictures = np.ones((1, 32, 32), np.float32)
    path = _write(tmp_path / "b.h5", rejects=Rejects(columns, pictures))
    got = read_rejects(path)
    assert len(got) == 2 and got.columns["reason"].tolist() == ["bad stamp", "blended"]
    assert (got.images == pictures).all() and np.isnan(got.columns["snr"][0])
    assert len(read_rejects(bank_path)) == 0


@pytest.mark.parametrize("n", [4, 6])
def test_a_bank_of_fewer_or_more_templates_than_announced_is_not_written(tmp_path, n):
    images = np.repeat(_images(1), n, axis=0)
    with pytest.raises((ValueError, TypeError, DhsError)):
        _write(tmp_path / "bank.h5", images)
    assert not list(tmp_path.iterdir())


def test_bulges_are_stored_beside_the_templates_that_have_one(tmp_path):
    columns = _columns()
    columns["bulge_row"] = np.array([-1, 0, -1, 1, -1.0])
    columns["bulge_fraction"] = np.array([0, 0.2, 0, 0.3, 0])
    about = {"pixel_scale": 0.03, "psf_fwhm": 0.15, "identity": IDENTITY}
    bulges = _images(2)
    with bank_writer(tmp_path / "b.h5", columns, size=32, **about) as writer:
        writer.add(_images()[:2], bulges[:1])
        writer.add(_images()[2:], bulges[1:])
    bank = read_bank(tmp_path / "b.h5")
    assert (bank.bulges_of(np.array([3, 1])) == bulges[[1, 0]]).all()
    with pytest.raises(ValueError, match="0 bulges came where 5 and 2"):
        _write(tmp_path / "c.h5", columns=columns)
    with pytest.raises(ValueError, match="must number"):
        _write(tmp_path / "c.h5", columns=columns | {"bulge_row": np.array([-1, 3, -1, 1, -1.0])})
    assert not (tmp_path / "c.h5").exists()
