"""Tile-compressed images: every pixel is what astropy's own reader gives."""

import io

import numpy as np
import pytest
from astropy.io import fits

from darkhaloscope.io.tiles import TiledImage

SHAPE = (230, 310)  # no multiple of a tile


def _pixels(kind):
    rng = np.random.default_rng(4)
    noise = rng.normal(0, 0.01, SHAPE)
    noise[50:120, 60:200] += 3.0
    if kind.startswith("f"):
        return noise.astype(kind)
    return (noise * 1e4).astype(kind)


def _file(pixels, **how) -> bytes:
    stream = io.BytesIO()
    hdu = fits.CompImageHDU(pixels, fits.Header({"CRVAL1": 150.5}), tile_shape=(100, 100), **how)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(stream)
    return stream.getvalue()


CASES = {
    "rice floats, dither 1": ("f4", {"quantize_method": 1, "dither_seed": 7}),
    "rice floats, dither 2": ("f4", {"quantize_method": 2, "dither_seed": 7}),
    "rice floats, no dither": ("f4", {"quantize_method": -1}),
    "rice doubles": ("f8", {"quantize_method": 2, "dither_seed": 9}),
    "gzip floats": ("f4", {"compression_type": "GZIP_1", "quantize_method": 2}),
    "gzip floats, as they are": ("f4", {"compression_type": "GZIP_1", "quantize_level": 0.0}),
    "hcompress floats": ("f4", {"compression_type": "HCOMPRESS_1", "quantize_method": 2}),
    "rice shorts": ("i2", {}),
    "rice longs": ("i4", {}),
    "gzip shorts": ("i2", {"compression_type": "GZIP_1"}),
    "gzip longs": ("i4", {"compression_type": "GZIP_1"}),
    "hcompress shorts": ("i2", {"compression_type": "HCOMPRESS_1"}),
    "bytes": ("u1", {}),
}
BOXES = [
    (slice(0, 1), slice(0, 1)),
    (slice(95, 159), slice(180, 244)),
    (slice(10, 60), slice(10, 60)),
    (slice(160, 230), slice(250, 310)),
    (slice(0, 230), slice(0, 310)),
]


@pytest.mark.parametrize("case", CASES)
def test_sections_are_astropys(case):
    kind, how = CASES[case]
    how = {"compression_type": "RICE_1"} | how
    data = _file(_pixels(kind), **how)
    ours = TiledImage(io.BytesIO(data))
    with fits.open(io.BytesIO(data)) as hdus:
        assert ours.shape == hdus[1].shape == SHAPE
        assert ours.header["CRVAL1"] == 150.5
        for box in BOXES:
            want = hdus[1].section[box]
            got = ours.section(box)
            assert got.dtype.newbyteorder("=") == want.dtype.newbyteorder("=")
            np.testing.assert_array_equal(got, want)


def test_blank_pixels_are_nan():
    pixels = _pixels("f4")
    pixels[100:103, 100:140] = np.nan
    data = _file(pixels, compression_type="RICE_1", quantize_method=1)
    with fits.open(io.BytesIO(data)) as hdus:
        want = hdus[1].section[90:150, 90:150]
    got = TiledImage(io.BytesIO(data)).section((slice(90, 150), slice(90, 150)))
    assert np.isnan(want).sum() == 120
    np.testing.assert_array_equal(got, want)


def test_the_surveys_own_files_are_astropys(real_data):
    folder = real_data / "tractor_schema" / "coadd_0959p805"
    rng = np.random.default_rng(2)
    for path in sorted(folder.glob("*.fits.fz")):
        with path.open("rb") as stream, fits.open(path) as hdus:
            ours, covered = TiledImage(stream), 0
            for y, x in [(1790, 2900), *rng.integers(0, 3500, (40, 2))]:
                box = (slice(int(y), int(y) + 64), slice(int(x), int(x) + 64))
                want = hdus[1].section[box]
                covered += want.any()
                np.testing.assert_array_equal(ours.section(box), want)
        assert covered or "-z" in path.name, path


class _Counted(io.BytesIO):
    read_bytes = 0

    def read(self, size=-1):
        data = super().read(size)
        self.read_bytes += len(data)
        return data


def test_only_the_tiles_needed_are_read():
    pixels = np.random.default_rng(1).normal(size=(1000, 1000)).astype("f4")
    data = _file(pixels, compression_type="RICE_1")
    stream = _Counted(data)
    image = TiledImage(stream)
    image.section((slice(510, 560), slice(510, 560)))
    assert stream.read_bytes < 0.05 * len(data)


@pytest.mark.parametrize("share", [0.001, 0.02, 0.3, 0.9])
def test_a_file_cut_short_is_said(share):
    data = _file(_pixels("f4"), compression_type="RICE_1")
    with pytest.raises(ValueError, match=r"cut short|no FITS header|without END"):
        TiledImage(io.BytesIO(data[: int(share * len(data))])).section(
            (slice(0, 230), slice(0, 310))
        )


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"<html>" * 1000, "no FITS header"),
        (b"", "cut short"),
    ],
)
def test_what_is_no_image_is_said(data, said):
    with pytest.raises(ValueError, match=said):
        TiledImage(io.BytesIO(data))


def test_an_image_without_tiles_is_said():
    stream = io.BytesIO()
    fits.PrimaryHDU(np.zeros((40, 40), "f4")).writeto(stream)
    with pytest.raises(ValueError, match="not compressed in tiles"):
        TiledImage(stream)


@pytest.mark.parametrize("box", [(slice(-1, 5), slice(0, 5)), (slice(0, 5), slice(300, 311))])
def test_a_section_beyond_the_image_is_said(box):
    image = TiledImage(io.BytesIO(_file(_pixels("f4"), compression_type="RICE_1")))
    with pytest.raises(ValueError, match="leaves the image"):
        image.section(box)
