"""Galaxies and stars drawn in Fourier space, against GalSim and against what must not change."""

import galsim
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkhaloscope.sim import flaws, sky
from darkhaloscope.sim.paint import Galaxies, Stars, no_stars, paint, transform_side
from darkhaloscope.sim.sersic import sersic_transform
from darkhaloscope.units import PIXEL_SCALE_ARCSEC, flux_from_mag, mag_from_flux
from tolerance import assert_images_agree, assert_ratio, assert_within

FLUX = np.array([1.0, 2.0, 4.0])
EXACT = galsim.GSParams(
    folding_threshold=1e-4, maxk_threshold=1e-5, kvalue_accuracy=1e-6, maximum_fft_size=32768
)


def conditions(fwhm=1.3, e=(0.0, 0.0), **changed) -> sky.Conditions:
    settings = {
        "psf_fwhm": fwhm * np.array([1.09, 1.0, 0.95]),
        "psf_e": np.tile(e, (3, 1)),
        "depth": np.array([24.7, 24.3, 23.3]),
        "nexp": np.array([3, 3, 3]),
        "ebv": 0.0,
    }
    return sky.Conditions(**(settings | changed))


def galaxy(x=0.1, y=-0.05, r_e=0.9, n=1.0, q=0.7, phi=0.5, flux=FLUX) -> Galaxies:
    columns = {"x": x, "y": y, "r_e": r_e, "n": n, "q": q, "phi": phi}
    arrays = {name: np.array([float(value)]) for name, value in columns.items()}
    return Galaxies(mags=mag_from_flux(np.atleast_2d(flux)), **arrays)


def star(x=0.3, y=-0.7, flux=FLUX) -> Stars:
    return Stars(np.array([x]), np.array([y]), mag_from_flux(np.atleast_2d(flux)))


@pytest.mark.parametrize("n", [0.5, 0.75, 1.0, 1.55, 2.5, 4.0, 6.0])
def test_a_transform_is_galsims(n):
    k = np.geomspace(0.003, 150, 60)
    want = [galsim.Sersic(n, half_light_radius=1, gsparams=EXACT).kValue(v, 0).real for v in k]
    assert_within(sersic_transform(k[None], np.array([n]))[0], want, 5e-4, f"transform of {n=}")
    assert sersic_transform(np.zeros((1, 1)), np.array([n]))[0, 0] == 1


def test_an_index_outside_the_table_is_refused():
    with pytest.raises(ValueError, match="Sersic index must lie in"):
        sersic_transform(np.ones((1, 1)), np.array([0.3]))


@pytest.mark.parametrize("size", [64, 101])
@pytest.mark.parametrize(
    ("n", "r_e", "q", "place", "fwhm", "e"),
    [
        (0.5, 0.8, 0.3, (2.1, -3.3), 1.1, (0.0, 0.0)),
        (1.0, 0.5, 0.6, (0.1, -0.05), 1.3, (0.05, -0.03)),
        (1.0, 0.1, 0.9, (0.1, -0.05), 0.9, (0.02, 0.02)),
        (2.5, 4.0, 0.5, (-0.1, 0.05), 1.2, (0.0, 0.0)),
        (4.0, 0.4, 0.7, (0.1, 0.05), 0.9, (0.02, 0.02)),
        (4.0, 1.5, 0.7, (7.9, 7.05), 1.3, (0.05, 0.02)),
        (4.0, 4.0, 0.4, (0.1, 0.05), 1.0, (0.05, 0.02)),
    ],
)
def test_a_galaxy_is_galsims_to_half_a_per_cent_of_its_peak(n, r_e, q, place, fwhm, e, size):
    """Large de Vaucouleurs galaxies at the edge too, whose wings could wrap around."""
    seen = conditions(fwhm, e)
    image = paint(galaxy(*place, r_e=r_e, n=n, q=q, phi=0.9), no_stars(), seen, size)
    shape = galsim.Sersic(n, half_light_radius=r_e, gsparams=EXACT)
    shape = shape.shear(q=q, beta=0.9 * galsim.radians).shift(*place)
    for band in range(3):
        moffat = galsim.Moffat(beta=3.5, fwhm=seen.psf_fwhm[band], gsparams=EXACT)
        both = galsim.Convolve(shape * FLUX[band], moffat.shear(g1=e[0], g2=e[1]), gsparams=EXACT)
        want = both.drawImage(nx=size, ny=size, scale=PIXEL_SCALE_ARCSEC, method="no_pixel").array
        assert_images_agree(image[band], want, 0.003, f"{n=} {r_e=} band {band}")
        assert_ratio(image[band].max(), want.max(), 0.003, "peak")


def test_a_star_is_the_same_by_fourier_sum_and_on_the_pixels():
    """Bright stars are drawn on the pixels; but for their wings and spikes nothing changes."""
    seen = conditions(1.35, (0.04, -0.02))
    nothing = galaxy()[:0]
    summed = paint(nothing, star(), seen, 64)
    y, x = flaws._grid(64)
    for band in range(3):
        core = flaws._moffat(x - 0.3, y + 0.7, seen.psf_fwhm[band], 0.04, -0.02)
        want = FLUX[band] * PIXEL_SCALE_ARCSEC**2 * core
        assert_images_agree(summed[band], want, 0.003, f"star, band {band}")
    assert_ratio(summed.sum((1, 2)), FLUX, 0.01, "flux of a star")


@given(x=st.floats(-5, 5), y=st.floats(-5, 5), n=st.floats(0.5, 2.5), r_e=st.floats(0.1, 1.0))
def test_flux_and_place_are_kept(x, y, n, r_e):
    seen = conditions()
    image = paint(galaxy(x, y, n=n, r_e=r_e), no_stars(), seen, 101)
    assert_ratio(image.sum((1, 2)), FLUX, 0.03, "flux")
    rows, columns = (np.indices(image.shape[1:]) - 50) * PIXEL_SCALE_ARCSEC
    near = np.hypot(columns - x, rows - y) < 4
    light = image[1] * near
    centroid = [(light * columns).sum() / light.sum(), (light * rows).sum() / light.sum()]
    assert_within(centroid, [x, y], 0.05, "centroid, arcsec")


@given(fluxes=st.lists(st.floats(0.1, 50), min_size=2, max_size=5))
def test_light_adds_up(fluxes):
    each = [galaxy(x=i - 2.0, flux=f * FLUX) for i, f in enumerate(fluxes)]
    seen, together = conditions(), each[0]
    for one in each[1:]:
        together += one
    want = sum(paint(one, star()[:0], seen, 48) for one in each)
    assert_images_agree(paint(together, no_stars(), seen, 48), want, 1e-5, "sum")


def test_dust_dims_each_band_by_its_extinction():
    clear, dusty = (paint(galaxy(), star(), conditions(ebv=e), 48) for e in (0.0, 0.2))
    want = flux_from_mag(22.5 + sky.extinction(0.2))
    assert_ratio(dusty.sum((1, 2)) / clear.sum((1, 2)), want, 1e-5, "dimming")


def test_wide_galaxies_have_wider_transforms():
    small, large = galaxy(r_e=0.5), galaxy(r_e=4.0, n=4.0)
    assert transform_side(small, 64) < 128 < transform_side(large, 64) <= 256


def test_nothing_shines_where_nothing_is():
    assert not paint(galaxy()[:0], no_stars(), conditions(), 48).any()
