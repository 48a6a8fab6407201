"""Deflection of light by isothermal and power-law ellipsoids."""

import math

import torch
from torch import Tensor

_MIN_FLATTENING2 = 1e-6  # 1 - q**2 below which the SIE is computed as this nearly round one
_SERIES_TOLERANCE = 1e-7


def sie_deflection(x: Tensor, y: Tensor, *, theta_E: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    """Deflection of a singular isothermal ellipsoid at the origin, major axis along x.

    x, y : arrays of one shape, arcsec
    theta_E : broadcastable, arcsec; the critical curve encloses pi theta_E**2
    q : broadcastable, minor/major, 0 < q <= 1; the sphere is the limit q = 1
    Returns alpha_x, alpha_y : like x, arcsec; 0 at the origin
    Source: Kormann, Schneider & Bartelmann (1994), in lenstronomy's normalisation,
    kappa = theta_E / (2 sqrt(q x**2 + y**2 / q))
    """
    flattening = torch.sqrt(torch.clamp(1 - q * q, min=_MIN_FLATTENING2))
    radius = _elliptical_radius(x, y, q)
    scale = theta_E * torch.sqrt(q) / flattening
    along = torch.atan2(flattening * x, radius)  # faster than atan of the quotient
    return scale * along, scale * _atanh(flattening * y / radius)


def epl_deflection(
    x: Tensor, y: Tensor, *, theta_E: Tensor, q: Tensor, slope: Tensor
) -> tuple[Tensor, Tensor]:
    """Deflection of an elliptical power law at the origin, major axis along x.

    slope : broadcastable, of the density in three dimensions, 1 < slope < 3; 2 is the SIE
    The rest as for the SIE, kappa = (3 - slope) / 2 (theta_E / sqrt(q x**2 + y**2 / q))**(slope-1)
    Source: Tessore & Metcalf (2015), eq. 13 and 23-29
    """
    t = slope - 1
    radius = _elliptical_radius(x, y, q)
    # exp(i phi) of the elliptical angle, then z = -f exp(2 i phi)
    c, s = q * x / radius, y / radius
    f = (1 - q) / (1 + q)
    z_re, z_im = f * (s * s - c * c), -2 * f * c * s
    omega_re, omega_im = torch.zeros_like(z_re), torch.zeros_like(z_re)
    for coefficient in reversed(_series(t, f)):
        omega_re, omega_im = (
            coefficient + z_re * omega_re - z_im * omega_im,
            z_re * omega_im + z_im * omega_re,
        )
    scale = 2 / (1 + q) * (theta_E * torch.sqrt(q)) ** t * radius ** (1 - t)
    return scale * (c * omega_re - s * omega_im), scale * (s * omega_re + c * omega_im)


def _series(t: Tensor, f: Tensor) -> list[Tensor]:
    """Coefficients of the angular part, those beyond a row's own accuracy set to 0.

    So a row's deflection does not depend on how many terms its neighbours in a batch need.
    """
    needed = torch.ceil(math.log(_SERIES_TOLERANCE) / torch.log(f.clamp(1e-6, 0.99)))
    terms, coefficient = [torch.ones_like(t * f)], torch.ones_like(t * f)
    for n in range(1, int(needed.max()) + 1 if needed.numel() else 1):
        coefficient = coefficient * (2 * n - (2 - t)) / (2 * n + (2 - t))
        terms.append(coefficient * (n <= needed))
    return terms


def _elliptical_radius(x: Tensor, y: Tensor, q: Tensor) -> Tensor:
    """sqrt(q**2 x**2 + y**2), positive at the origin too."""
    squared = torch.addcmul(y * y, x * (q * q), x)
    return torch.sqrt(squared).clamp_min(torch.finfo(x.dtype).tiny ** 0.5)


def _atanh(t: Tensor) -> Tensor:
    """atanh, finite at |t| = 1, which rounding reaches on the minor axis of a thin ellipse."""
    limit = 1 - 4 * torch.finfo(t.dtype).eps
    return torch.atanh(t.clamp(-limit, limit))


def max_deflection(*, theta_E: Tensor, q: Tensor, slope: Tensor, within: Tensor) -> Tensor:
    """No ray that passes between theta_E / sqrt(q) and `within` is bent by more; arcsec.

    The isothermal ellipsoid bends most on its minor axis. A shallower profile bends more further
    out; a steeper one at most by theta_E / sqrt(q), with all its mass in the centre.
    """
    flattening = torch.sqrt(torch.clamp(1 - q * q, min=_MIN_FLATTENING2))
    isothermal = theta_E * torch.sqrt(q) / flattening * _atanh(flattening)
    growth = (within / (theta_E * torch.sqrt(q)).clamp_min(1e-6)).clamp_min(1.0)
    return torch.where(
        slope > 2, theta_E / torch.sqrt(q), isothermal * growth ** (2 - slope).clamp_min(0)
    )
