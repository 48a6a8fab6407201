"""Real HST galaxies through GalSim, and catalogues that cannot be used."""

import shutil

import galsim
import numpy as np
import pytest
from astropy.io import fits

from darkhaloscope.errors import DhsError
from darkhaloscope.sim.template import Noise, clean
from darkhaloscope.survey.cosmos import RealGalaxies, find_catalogue
from tolerance import assert_ratio, assert_within

SETTINGS = {"stamp_size": 128, "pixel_scale": 0.03, "psf_fwhm": 0.15}
CATALOGUE = "real_galaxy_catalog_26_extension_example.fits"
IMAGES = "real_galaxy_images_extension.fits"
PSFS = "real_galaxy_PSF_images_extension.fits"


@pytest.fixture(scope="module")
def folder(real_data):
    return real_data / "hst_cosmos_100"


@pytest.fixture(scope="module")
def galaxies(folder):
    return RealGalaxies(folder, **SETTINGS)


@pytest.fixture
def copy(folder, tmp_path):
    """A catalogue folder that may be damaged."""
    target = tmp_path / "copy"
    shutil.copytree(folder, target)
    return target


def _truncate(path, kept):
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    return path


def test_the_catalogue_is_found_and_has_its_galaxies(galaxies, folder):
    assert len(galaxies) == 100
    assert galaxies.path == folder / CATALOGUE == find_catalogue(folder / CATALOGUE)
    magnitudes = np.array([galaxies.mag(i) for i in range(100)])
    assert 20 < magnitudes.min() < magnitudes.max() < 26.5
    assert len({galaxies.ident(i) for i in range(100)}) == 100


def test_a_galaxy_is_drawn_with_its_flux_and_psf(galaxies, folder):
    """Against GalSim's own drawing, whose effective PSF is the Gaussian that was asked for."""
    catalogue = galsim.RealGalaxyCatalog(CATALOGUE, dir=str(folder))
    for index in (4, 36):
        drawn = galaxies.draw(index)
        assert drawn.image.shape == (128, 128) and drawn.image.dtype == np.float64
        galaxy = galsim.RealGalaxy(catalogue, index=index)
        want = galsim.Convolve(galaxy, galsim.Gaussian(fwhm=0.15)).drawImage(
            nx=128, ny=128, scale=0.03, method="no_pixel"
        )
        assert_within(drawn.image, want.array, 1e-6 * want.array.max(), "drawn image")
        y, x = np.indices((128, 128)) - 63.5
        near = np.clip(drawn.image, 0, None) * (np.hypot(x, y) < 20)
        assert abs((near * x).sum() / near.sum()) < 5 and abs((near * y).sum() / near.sum()) < 5


@pytest.mark.parametrize("scale", [0.03, 0.05, 0.02])
def test_the_quoted_noise_is_that_of_the_drawn_sky(folder, scale):
    ratios = []
    galaxies = RealGalaxies(folder, **(SETTINGS | {"pixel_scale": scale}))
    for index in range(0, 100, 4):
        drawn = galaxies.draw(index)
        half = drawn.data_size // 2
        data = drawn.image[64 - half : 64 + half, 64 - half : 64 + half]
        low = data[data < np.median(data)] - np.median(data)
        ratios.append(np.sqrt((low**2).mean()) / drawn.noise.sigma)
        assert (
            5 < drawn.noise.area * (scale / 0.03) ** 2 < 60
        )  # correlated: HST's drizzle and the new PSF
    assert_within(np.median(ratios), 1.0, 0.15, "noise measured over noise quoted")


@pytest.mark.parametrize("scale", [0.03, 0.05])
def test_the_noise_is_that_of_galsims_own_object(folder, scale):
    galaxies = RealGalaxies(folder, **(SETTINGS | {"pixel_scale": scale}))
    catalogue = galsim.RealGalaxyCatalog(CATALOGUE, dir=str(folder))
    for index in (3, 40, 77):
        galaxy = galsim.RealGalaxy(catalogue, index=index)
        seen = galsim.Convolve(galaxy, galsim.Gaussian(fwhm=0.15))
        want = Noise.of(seen.noise.drawImage(scale=scale).array).scaled((scale / 0.03) ** 2)
        got = galaxies.draw(index).noise
        for name in ("sigma", "area", "rough"):
            assert_ratio(getattr(got, name), getattr(want, name), 0.06, name)


def test_clean_templates_have_the_catalogues_sizes(galaxies, folder):
    """Half-light radii agree with SExtractor's; rectified sky would double them."""
    table = fits.getdata(folder / "real_galaxy_catalog_26_extension_example_fits.fits", 1)
    ratios, faint = [], 0
    for index in range(100):
        drawn = galaxies.draw(index)
        try:
            template = clean(
                drawn.image,
                pixel_scale=0.03,
                psf_fwhm=0.15,
                noise=drawn.noise,
                data_size=drawn.data_size,
            )
        except ValueError:
            faint += 1
            continue
        faint += template.snr < 20
        if template.snr >= 20:
            assert_within(template.image.sum(), 1.0, 1e-9, "flux")
            ratios.append(template.hlr_arcsec / (0.03 * float(table["flux_radius"][index])))
    assert len(ratios) >= 15
    assert 40 <= faint <= 85  # about half of the catalogue is noise, which a bank must notice
    assert_within(np.median(ratios), 1.0, 0.1, "median ratio of half-light radii")
    assert np.percentile(ratios, 90) < 1.25


@pytest.mark.parametrize("fwhm", [0.03, 0.08])
def test_a_psf_narrower_than_hsts_is_an_error_that_says_so(folder, fwhm):
    with pytest.raises(DhsError, match=rf"intrinsic_psf_fwhm_arcsec = {fwhm} is narrower than"):
        RealGalaxies(folder, **(SETTINGS | {"psf_fwhm": fwhm}))


def test_a_missing_folder_is_a_sentence(tmp_path):
    with pytest.raises(DhsError, match=r"--cosmos-dir .*none does not exist"):
        RealGalaxies(tmp_path / "none", **SETTINGS)


def test_a_folder_without_catalogue_is_a_sentence(tmp_path):
    with pytest.raises(DhsError, match=r"must hold one RealGalaxyCatalog table .* found none"):
        RealGalaxies(tmp_path, **SETTINGS)
    fits.writeto(tmp_path / "image.fits", np.zeros((4, 4)))
    (tmp_path / "junk.fits").write_text("no FITS")
    with pytest.raises(DhsError, match="found none"):
        RealGalaxies(tmp_path, **SETTINGS)


def test_two_catalogues_in_a_folder_must_be_named(copy):
    shutil.copy(copy / CATALOGUE, copy / "second.fits")
    with pytest.raises(DhsError, match=r"found .*second\.fits; name the file itself"):
        RealGalaxies(copy, **SETTINGS)
    assert len(RealGalaxies(copy / "second.fits", **SETTINGS)) == 100


@pytest.mark.parametrize("name", [IMAGES, PSFS])
def test_a_missing_image_file_is_a_sentence(copy, name):
    (copy / name).unlink()
    with pytest.raises(DhsError, match="cannot be used as a RealGalaxyCatalog"):
        RealGalaxies(copy, **SETTINGS)


@pytest.mark.parametrize("kept", [0.001, 0.2, 0.7])
@pytest.mark.parametrize("name", [IMAGES, PSFS])
@pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyWarning")
def test_a_truncated_image_file_is_a_sentence(copy, name, kept):
    """On opening, or at the latest on drawing a galaxy that lies behind the cut."""
    _truncate(copy / name, kept)

    def use():
        galaxies = RealGalaxies(copy, **SETTINGS)
        for index in (0, 50, 99):
            galaxies.draw(index)

    with pytest.raises(DhsError, match="download it again"):
        use()


@pytest.mark.parametrize("kept", [0.2, 0.8])
@pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyWarning")
def test_a_folder_with_a_truncated_catalogue_is_a_sentence(copy, kept):
    _truncate(copy / CATALOGUE, kept)
    with pytest.raises(DhsError, match="must hold one RealGalaxyCatalog"):
        RealGalaxies(copy, **SETTINGS)


@pytest.mark.parametrize("kept", [0.2, 0.8])
@pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyWarning")
def test_a_truncated_catalogue_named_itself_is_a_sentence(copy, kept):
    with pytest.raises(DhsError, match="cannot be used as a RealGalaxyCatalog"):
        RealGalaxies(_truncate(copy / CATALOGUE, kept), **SETTINGS)


def test_drawing_twice_gives_the_same(galaxies):
    one, two = galaxies.draw(7), galaxies.draw(7)
    assert (one.image == two.image).all()
    assert_ratio(one.noise.sigma, two.noise.sigma, 0, "noise")
