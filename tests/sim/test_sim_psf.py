"""PSF transforms: golden against GalSim, and wrong calls."""

import galsim
import numpy as np
import pytest
import torch

from darkhaloscope.sim.psf import transform
from tolerance import assert_within

_FREQUENCY = np.linspace(0, 3, 601)  # cycles per arcsec; the pixel's Nyquist is 1.9


def _transform(model, fwhm, beta=3.5):
    return transform(
        model, torch.from_numpy(_FREQUENCY), torch.tensor(fwhm, dtype=torch.float64), beta
    )


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
    got = transform("moffat", frequency, fwhm[..., None, None], 3.5)
    assert got.shape == (2, 2, 4, 4)
    for row in range(2):
        for band in range(2):
            alone = transform("moffat", frequency, fwhm[row, band], 3.5)
            assert torch.equal(got[row, band], alone)


@pytest.mark.parametrize("fwhm", [0.0, -1.3, float("nan")])
@pytest.mark.parametrize("model", ["moffat", "gaussian"])
def test_fwhm_must_be_positive(model, fwhm):
    with pytest.raises(ValueError, match="FWHM must be > 0"):
        _transform(model, fwhm)


def test_unknown_model_and_infinite_flux_are_refused():
    with pytest.raises(ValueError, match="airy"):
        _transform("airy", 1.3)
    with pytest.raises(ValueError, match=r"moffat_beta must be > 1.*got 1\.0"):
        _transform("moffat", 1.3, beta=1.0)
