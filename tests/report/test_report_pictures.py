import numpy as np
import pytest
from report_set import SIZE, blob, made_columns, made_images

from darkhaloscope.report.canvas import png_size
from darkhaloscope.report.pictures import choose, contact_sheet, pairs_of, rgb, task_ids

SIGMA = np.array([0.002, 0.004, 0.006])
CENTRE = SIZE // 2
IMAGE = blob((0.05, 0.2, 0.6), 0.0) + np.random.default_rng(2).normal(
    0, SIGMA[:, None, None], (3, SIZE, SIZE)
)


def test_rgb_is_a_picture():
    picture = rgb(IMAGE)
    assert picture.shape == (SIZE, SIZE, 3)
    assert picture.dtype == np.uint8
    red, green, blue = picture[CENTRE, CENTRE]
    assert red > green > blue  # a red galaxy


def test_sky_is_dark_grey_at_any_depth():
    for depth in (0.3, 1.0, 3.0):
        noise = np.random.default_rng(3).normal(0, depth * SIGMA[:, None, None], (3, 64, 64))
        picture = rgb(noise, depth * SIGMA).astype(float)
        assert 15 < picture.mean() < 60
        assert np.ptp(picture.mean(axis=(0, 1))) < 3  # no tint
        assert np.ptp(picture, axis=2).mean() < 15  # no coloured speckle


def test_missing_pixels_are_black_and_leave_the_rest_alone():
    image = IMAGE.copy()
    image[1, 3, 4] = np.nan
    image[:, 0, 0] = np.inf
    picture = rgb(image, SIGMA, np.zeros(3))
    assert not picture[3, 4].any()
    assert not picture[0, 0].any()
    np.testing.assert_array_equal(picture[12:], rgb(IMAGE, SIGMA, np.zeros(3))[12:])
    assert not rgb(np.full((3, 8, 8), np.nan)).any()


def test_brighter_in_g_is_bluer():
    def blue_minus_red(image):
        picture = rgb(image, SIGMA).astype(int)
        return picture[CENTRE, CENTRE, 2] - picture[CENTRE, CENTRE, 0]

    assert blue_minus_red(IMAGE) < 0 < blue_minus_red(IMAGE[::-1])
    brighter_in_g = IMAGE * np.array([2.0, 1.0, 1.0])[:, None, None]
    assert blue_minus_red(brighter_in_g) > blue_minus_red(IMAGE)


def test_flat_image_without_noise_has_a_picture():
    assert len(np.unique(rgb(np.ones((3, 8, 8))))) == 1


@pytest.mark.parametrize(
    ("image", "sigma"),
    [(np.zeros((8, 8)), None), (np.zeros((8, 8, 3)), None), (IMAGE, [0, 1, 1]), (IMAGE, 0.1)],
)
def test_wrong_rgb_call_raises(image, sigma):
    with pytest.raises(ValueError, match="must be"):
        rgb(image, sigma)


def test_choose_ranks_by_arc_snr():
    columns = made_columns(9)
    ids = [f"host{i:03d}-00" for i in range(9)]
    assert choose(columns, "best", 2) == [ids[8], ids[7]]
    assert choose(columns, "worst", 2) == ids[:2]
    assert choose(columns, "median", 3) == ids[3:6]
    assert choose(columns, "spread", 3) == [ids[0], ids[4], ids[8]]
    assert choose(columns, "spread", 99) == ids


@pytest.mark.parametrize("how", ["best", "median", "worst", "spread"])
def test_choose_does_not_depend_on_row_order(how):
    columns = made_columns(9)
    columns["arc_snr"] = np.round(columns["arc_snr"], -2)  # ties
    order = np.random.default_rng(4).permutation(27)
    shuffled = {name: column[order] for name, column in columns.items()}
    assert choose(columns, how, 4) == choose(shuffled, how, 4)


def test_choose_refuses_what_it_does_not_know():
    with pytest.raises(ValueError, match="one of"):
        choose(made_columns(), "nicest", 3)
    with pytest.raises(ValueError, match="n >= 1"):
        choose(made_columns(), "best", 0)


@pytest.mark.parametrize("n", [1, 12])
def test_contact_sheet_grows_by_a_row_a_pair(n):
    columns = made_columns(n)
    ids = choose(columns, "best", n)
    images = made_images(columns)
    assert set(task_ids(columns, ids)) == set(images)
    sheet = contact_sheet(pairs_of(columns, images, ids), panel_px=64)
    width, height = png_size(sheet)
    assert width > 5 * 64
    assert n * 64 < height < n * 80 + 80
    assert sheet == contact_sheet(pairs_of(columns, images, ids), panel_px=64)


def test_contact_sheet_says_that_a_control_is_absent():
    columns = made_columns(2)
    keep = columns["kind"] == "lens"
    lenses = {name: column[keep] for name, column in columns.items()}
    pairs = pairs_of(lenses, made_images(lenses), ["host000-00"])
    assert png_size(contact_sheet(pairs))[0] > 500


def test_contact_sheet_refuses_none_and_too_many():
    columns = made_columns(1)
    pair = pairs_of(columns, made_images(columns), ["host000-00"])[0]
    for pairs in ([], [pair] * 61):
        with pytest.raises(ValueError, match="1 to 60"):
            contact_sheet(pairs)
