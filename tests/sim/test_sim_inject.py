"""Light onto the sky: pairs stay pairs, noise is that of the arc, flags name their cause."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkhaloscope.flags import Flag
from darkhaloscope.keys import generator
from darkhaloscope.sim.inject import (
    CORE_ARCSEC,
    crop,
    cutout_flags,
    inject,
    matched_snr,
    poisson_residual,
    sky_sigma,
)
from darkhaloscope.units import stamp_center
from tolerance import assert_ratio, assert_within

SCALE = 0.262


def _hosts(n=3, size=33) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.01, (n, 3, size, size)).astype(np.float32)


def _arcs(n=3, size=33) -> np.ndarray:
    arcs = np.zeros((n, 3, size, size), np.float32)
    arcs[:, :, 10:20, 12:18] = 0.05
    return arcs


def _rngs(*names):
    return [generator(name) for name in names]


GAINS = np.full((3, 3), 1.1e4)


def test_no_arc_gives_back_the_host_bit_for_bit():
    hosts = _hosts()
    hosts[0, 0, 3, 3] = np.float32(-0.0)
    stamps = inject(hosts, np.zeros_like(hosts), GAINS, _rngs("a", "b", "c"))
    assert stamps.tobytes() == hosts.tobytes()
    assert stamps.dtype == np.float32 and not np.shares_memory(stamps, hosts)


def test_a_control_row_is_its_host_beside_a_lens():
    hosts, arcs = _hosts(), _arcs()
    arcs[1] = 0
    stamps = inject(hosts, arcs, GAINS, _rngs("a", "b", "c"))
    assert stamps[1].tobytes() == hosts[1].tobytes()
    assert (stamps[0] != hosts[0]).any() and (stamps[2] != hosts[2]).any()


def test_without_photon_noise_the_arc_is_added_exactly():
    hosts, arcs = _hosts(), _arcs()
    stamps = inject(hosts, arcs, GAINS, _rngs("a", "b", "c"), photon_noise=False)
    assert_within(stamps, hosts + arcs, 0.0, "host plus arc")


def test_the_host_is_untouched_where_the_arc_is_dark():
    hosts, arcs = _hosts(), _arcs()
    stamps = inject(hosts, arcs, GAINS, _rngs("a", "b", "c"))
    dark = arcs == 0
    assert stamps[dark].tobytes() == hosts[dark].tobytes()


def test_noise_depends_on_the_rows_generator_only():
    hosts, arcs = _hosts(), _arcs()
    together = inject(hosts, arcs, GAINS, _rngs("a", "b", "c"))
    turned = inject(hosts[::-1], arcs[::-1], GAINS, _rngs("c", "b", "a"))[::-1]
    assert turned.tobytes() == together.tobytes()
    other = inject(hosts[:1], arcs[:1], GAINS[:1], _rngs("d"))
    assert (other != together[:1]).any()


def test_every_row_needs_its_generator():
    with pytest.raises(ValueError, match="shorter"):
        inject(_hosts(), _arcs(), GAINS, _rngs("a", "b"))


@pytest.mark.parametrize("gain", [3.7e3, 1.1e4, 4e4])
@pytest.mark.parametrize("flux", [2e-6, 2e-5, 2e-4, 0.003, 0.05])
def test_photon_noise_has_zero_mean_and_variance_flux_over_gain(flux, gain):
    """A floor of one count, or 150 e-/nmgy, fails here."""
    n = 200_000
    noise = poisson_residual(np.full(n, flux), gain, np.random.default_rng(1))
    variance = flux / gain
    assert abs(noise.mean()) < 4 * math.sqrt(variance / n)
    excess = 1 / (flux * gain)  # a Poisson variance is estimated worse where counts are few
    assert_ratio(noise.var(), variance, 4 * math.sqrt((2 + excess) / n), "variance")


def test_dim_and_bright_pixels_of_one_image_each_have_their_own_noise():
    """Dim ones are drawn together: none may take its neighbour's electrons."""
    rng, electrons = np.random.default_rng(2), np.array([0.0, 0.003, 0.02, 0.09, 0.11, 0.4, 7.0])
    draws = np.array([poisson_residual(electrons, 1.0, rng) for _ in range(40_000)])
    assert not draws[:, 0].any()
    errors = np.sqrt(electrons / len(draws))
    assert (np.abs(draws.mean(axis=0))[1:] < 4 * errors[1:]).all()
    spread = np.sqrt((2 + 1 / electrons[1:]) / len(draws))
    assert (np.abs(draws.var(axis=0)[1:] / electrons[1:] - 1) < 4 * spread).all()
    apart = np.corrcoef(draws[:, 1:].T) - np.eye(6)
    assert np.abs(apart).max() < 4.5 / math.sqrt(len(draws))


def test_gain_is_per_band():
    light = np.full((1, 3, 200, 200), 0.02, np.float32)
    gains = np.array([[1e3, 1e4, 1e5]])
    stamps = inject(np.zeros_like(light), light, gains, _rngs("a"))
    assert_ratio(stamps[0].var(axis=(1, 2)), 0.02 / gains[0], 0.05, "variance per band")


def test_dark_and_negative_light_brings_no_noise():
    light = np.array([0.0, -1e-4, -3.0, 0.0])
    assert not poisson_residual(light, 1.1e4, np.random.default_rng(0)).any()


def test_matched_snr_is_the_root_of_the_sum():
    light, invvar = np.zeros((2, 3, 8, 8)), np.full((2, 3, 8, 8), 4.0)
    light[0, 1, 2, 3], light[0, 1, 4, 4], light[1, 2, 0, 0] = 3.0, 4.0, 1.0
    assert_within(matched_snr(light, invvar), [[0, 10, 0], [0, 0, 2]], 1e-12, "S/N")
    invvar[0, 1, 4, 4] = -1.0
    assert_within(matched_snr(light, invvar)[0, 1], 6.0, 1e-12, "a pixel without data")


def test_sky_sigma_is_that_of_the_sky_not_of_sources():
    image = np.random.default_rng(2).normal(0.3, 0.02, (2, 3, 101, 101))
    image[:, :, 45:55, 45:55] += 5
    assert_ratio(sky_sigma(image), np.full((2, 3), 0.02), 0.05, "sky sigma")


@given(full=st.integers(2, 40), data=st.data())
def test_crop_says_how_far_the_centre_moved(full, data):
    size = data.draw(st.integers(1, full))
    row, column = (data.draw(st.integers(0, full - 1)) for _ in range(2))
    image = np.zeros((3, full, full))
    image[:, row, column] = 1
    stamp, shift = crop(image, size)
    assert stamp.shape == (3, size, size)
    assert shift == (0.0 if (full - size) % 2 == 0 else -0.5)
    found = np.argwhere(stamp[0])
    if len(found):
        got = found[0] - stamp_center(size)
        want = np.array([row, column]) - stamp_center(full) - shift
        assert_within(got, want, 1e-12, "place from the new centre")
    else:
        distance = np.abs(np.array([row, column]) - stamp_center(full))
        assert distance.max() >= size / 2 - 0.5


def test_crop_refuses_what_is_not_there():
    with pytest.raises(ValueError, match="65 pixel stamp from a 64 pixel cutout"):
        crop(np.zeros((3, 64, 64)), 65)


# --- flags: each for its own cause


def _cutout():
    rng = np.random.default_rng(3)
    return {
        "image": rng.normal(0, 0.01, (3, 64, 64)).astype(np.float32),
        "invvar": np.full((3, 64, 64), 1e4, np.float32),
        "maskbits": np.zeros((64, 64), np.int32),
        "psf_fwhm": np.array([1.4, 1.3, 1.2]),
        "nexp": np.array([3, 3, 4]),
        "center": (0.1, -0.1),
        "pixel_scale": SCALE,
    }


def _planted(change) -> Flag:
    cutout = _cutout()
    change(cutout)
    return cutout_flags(**cutout)


def _set(name, where, value):
    def change(cutout):
        cutout[name][where] = value

    return change


CORE = (32, 33)
AWAY = (32, 33 + math.ceil(CORE_ARCSEC / SCALE) + 1)


def test_a_good_cutout_has_no_flag():
    assert cutout_flags(**_cutout()) == Flag(0)


@pytest.mark.parametrize(
    ("flag", "change"),
    [
        (Flag.NO_PSF, _set("psf_fwhm", 1, 0.0)),
        (Flag.NO_PSF, _set("psf_fwhm", 2, -1.3)),
        (Flag.NO_PSF, _set("psf_fwhm", 0, math.nan)),
        (Flag.NO_PSF, _set("psf_fwhm", 0, math.inf)),
        (Flag.MISSING_BAND, _set("image", 1, 0.0)),
        (Flag.MISSING_BAND, _set("image", 2, 0.37)),
        (Flag.NAN_PIXELS, _set("image", (0, 3, 60), math.nan)),
        (Flag.NAN_PIXELS, _set("image", (2, 3, 60), -math.inf)),
        (Flag.NAN_PIXELS | Flag.MISSING_BAND, _set("image", 1, math.nan)),
        (Flag.BAD_INVVAR, _set("invvar", (0, 3, 3), -1e-3)),
        (Flag.BAD_INVVAR, _set("invvar", (0, 3, 3), math.nan)),
        (Flag.BAD_INVVAR, _set("invvar", (0, 3, 3), math.inf)),
        (Flag.BAD_INVVAR, _set("invvar", (2, slice(0, 40)), 0.0)),
        *((Flag.MASKED_CORE, _set("maskbits", CORE, 1 << bit)) for bit in (1, 5, 6, 7, 10)),
        *((Flag.SATURATED, _set("maskbits", CORE, 1 << bit)) for bit in (2, 3, 4)),
        (Flag.NO_NOISE_MODEL, _set("nexp", 0, 0)),
    ],
)
def test_each_cause_raises_its_own_flag(flag, change):
    assert _planted(change) == flag


@pytest.mark.parametrize(
    "change",
    [
        *(_set("maskbits", AWAY, 1 << bit) for bit in (1, 2, 5, 10)),  # outside the core
        *(_set("maskbits", CORE, 1 << bit) for bit in (0, 8, 9, 11, 12, 13)),  # harmless bits
        _set("invvar", (2, slice(0, 30)), 0.0),  # less than half the stamp
    ],
)
def test_what_does_no_harm_raises_no_flag(change):
    assert _planted(change) == Flag(0)


def test_the_core_is_around_the_host_not_the_stamp():
    """x is the column, y the row."""
    cutout = _cutout()
    cutout["center"] = (5.0, 0.0)
    cutout["maskbits"][32, round(stamp_center(64) + 5.0 / SCALE)] = 1 << 5
    assert cutout_flags(**cutout) == Flag.MASKED_CORE
    cutout["center"] = (0.0, 5.0)
    assert cutout_flags(**cutout) == Flag(0)
