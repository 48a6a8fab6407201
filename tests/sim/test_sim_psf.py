"""PSF transforms: golden against GalSim, and wrong calls."""

import galsim
import numpy as np
import pytest
import torch

from darkhaloscope.sim.psf import Frequencies, Gaussian, Images, Moffat, named
from darkhaloscope.sim.scene import Scenes, stack
from tolerance import assert_within

_FREQUENCY = np.linspace(0, 3, 601)  # cycles per arcsec; the pixel's Nyquist is 1.9


def _transform(model, fwhm, beta=3.5):
    family = Moffat(beta) if model == "moffat" else Gaussian()
    return family.profile(torch.from_numpy(_FREQUENCY), torch.tensor(fwhm, dtype=torch.float64))


@pytest.mark.parametrize("fwhm", [0.7, 1.35, 2.5])
@pytest.mark.parametrize("beta", [2.5, 3.5, 4.765])
def test_moffat_is_galsims(beta, fwhm):
    moffat = galsim.Moffat(beta=beta, fwhm=fwhm)
    want = [moffat.kValue(2 * np.pi * k, 0).real for k in _FREQUENCY]
    assert_within(_transform("moffat", fwhm, beta), want, 1e-5, f"Moffat {beta=} {fwhm=}")


@pytest.mark.parametrize("fwhm", [0.7, 1.35, 2.5])
def test_gaussian_is_galsims(fwhm):
    gaussian = galsim.Gaussian(fwhm=fwhm)
    want = [gaussian.kValue(2 * np.pi * k, 0).real for k in _FREQUENCY]
    assert_within(_transform("gaussian", fwhm), want, 1e-8, f"Gaussian {fwhm=}")


@pytest.mark.parametrize("beta", [1.2, 2.0, 3.5, 19.0])
@pytest.mark.parametrize("model", ["moffat", "gaussian"])
def test_transform_is_one_at_zero_and_falls(model, beta):
    values = _transform(model, 1.35, beta)
    assert float(values[0]) == 1.0
    assert bool(torch.isfinite(values).all())
    assert bool((values.diff() <= 0).all())


def test_each_row_and_band_has_its_own_width():
    frequency = torch.full((4, 4), 0.5, dtype=torch.float64)
    fwhm = torch.tensor([[1.0, 1.5], [2.0, 0.8]], dtype=torch.float64)
    got = Moffat().profile(frequency, fwhm[..., None, None])
    assert got.shape == (2, 2, 4, 4)
    for row in range(2):
        for band in range(2):
            alone = Moffat().profile(frequency, fwhm[row, band])
            assert torch.equal(got[row, band], alone)


def test_unknown_model_and_infinite_flux_are_refused():
    with pytest.raises(ValueError, match="airy"):
        named("airy", 3.5, True)
    with pytest.raises(ValueError, match=r"moffat_beta must be > 1.*got 1\.0"):
        _transform("moffat", 1.3, beta=1.0)


def _grid_of(frequencies):
    k_y, k_x = frequencies.along(torch.empty(0))
    return k_x[None, :] + 0 * k_y[:, None], k_y[:, None] + 0 * k_x[None, :]


def _scenes(**psf) -> Scenes:
    """One row, three bands, of which only the PSF matters."""
    zero = torch.zeros(1, dtype=torch.float64)
    lens = ("theta_E", "q", "phi", "gamma1", "gamma2", "center_x", "center_y")
    source = ("source_x", "source_y", "source_phi", "source_scale")
    return Scenes(
        **dict.fromkeys((*lens, *source), zero),
        template=zero.long(),
        flux=torch.ones(1, 3, dtype=torch.float64),
        **{name: torch.as_tensor(values) for name, values in psf.items()},
    )


@pytest.mark.parametrize("beta", [3.5, 2.7])
def test_an_elliptical_psf_is_galsims(beta):
    """Shear of GalSim's g = (1 - q) / (1 + q), the FWHM kept as the geometric mean."""
    e1, e2, fwhm = [0.1, -0.2, 0.0], [0.05, 0.1, -0.15], [0.9, 1.3, 2.1]
    frequencies = Frequencies(32, 0.262)
    scenes = _scenes(psf_fwhm=stack([fwhm]), psf_e1=stack([e1]), psf_e2=stack([e2]))
    got = Moffat(beta).transform(scenes, frequencies, torch.float64)[0]
    kx, ky = _grid_of(frequencies)
    for band in range(3):
        psf = galsim.Moffat(beta, fwhm=fwhm[band]).shear(g1=e1[band], g2=e2[band])
        want = [
            psf.kValue(2 * np.pi * x, 2 * np.pi * y).real
            for x, y in zip(kx.flatten().tolist(), ky.flatten().tolist(), strict=True)
        ]
        assert_within(got[band].flatten(), want, 2e-5, f"{band=}")


@pytest.mark.parametrize("side", [5, 20, 31, 63, 101])
def test_an_image_psf_is_galsims(side):
    """Odd and even, smaller and larger than the transform; centred, of unit flux, not mirrored."""
    psf = galsim.Gaussian(fwhm=1.2).shear(g1=0.1, g2=0.2) + 0.3 * galsim.Gaussian(fwhm=1.0).shift(
        0.4, -0.3
    )
    drawn = psf.drawImage(nx=side, ny=side, scale=0.262, method="no_pixel", dtype=float).array
    images = Images(torch.from_numpy(np.stack([drawn.T, 7 * drawn])))
    frequencies = Frequencies(48, 0.262)
    scenes = _scenes(psf_fwhm=stack([[1.0] * 3]), psf_image=torch.tensor([[1, 0, 1]]))
    got = images.transform(scenes, frequencies, torch.float64)[0]
    y, x = (np.indices((side, side)) - (side - 1) / 2) * 0.262
    kx, ky = (k.numpy()[..., None, None] for k in _grid_of(frequencies))
    want = (drawn * np.exp(-2j * np.pi * (kx * x + ky * y))).sum((-2, -1)) / drawn.sum()
    below = np.abs(frequencies.along(torch.empty(0))[0].numpy()) < 0.49 / 0.262
    for band in (0, 2):
        assert_within((got[band].numpy() - want)[below].real, 0 * want[below].real, 1e-12, "real")
        assert_within((got[band].numpy() - want)[below].imag, 0 * want[below].imag, 1e-12, "imag")
    assert float((got[1] - got[0]).abs().max()) > 0.01


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.ones(3, 3), r"square, \(image, y, x\); got \(3, 3\)"),
        (torch.ones(2, 3, 4), "square"),
        (torch.zeros(1, 3, 3), "positive flux"),
        (torch.full((1, 3, 3), float("nan")), "finite"),
    ],
)
def test_psf_images_without_a_psf_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        Images(images)


@pytest.mark.parametrize("wanted", [None, [[0, 1, 2]], [[-1, 0, 0]], [[0, 0]]])
def test_psf_image_must_pick_one_that_exists(wanted):
    psf = {} if wanted is None else {"psf_image": torch.tensor(wanted)}
    with pytest.raises(ValueError, match="psf_image"):
        Images(torch.ones(2, 3, 3)).check(_scenes(psf_fwhm=stack([[1.0] * 3]), **psf))


def test_a_psf_image_for_an_analytic_psf_is_refused():
    scenes = _scenes(psf_fwhm=stack([[1.0] * 3]), psf_image=torch.tensor([[0, 0, 0]]))
    with pytest.raises(ValueError, match="psf_image is given but the PSF is Moffat"):
        Moffat().check(scenes)


def test_half_an_ellipticity_is_refused():
    with pytest.raises(ValueError, match="both psf_e1 and psf_e2"):
        _scenes(psf_fwhm=stack([[1.0] * 3]), psf_e1=stack([[0.1] * 3]))
