"""Deflection of light: singular isothermal ellipsoid and external shear."""

import torch
from torch import Tensor

_MIN_FLATTENING2 = 1e-6  # 1 - q**2 below which the SIE is computed as this nearly round one


def sie_deflection(x: Tensor, y: Tensor, *, theta_E: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    """Deflection of a singular isothermal ellipsoid at the origin, major axis along x.

    x, y : arrays of one shape, arcsec
    theta_E : broadcastable, arcsec; the critical curve encloses pi theta_E**2
    q : broadcastable, minor/major, 0 < q <= 1
    Returns alpha_x, alpha_y : like x, arcsec; 0 at the origin
    Source: Kormann, Schneider & Bartelmann (1994), in lenstronomy's normalisation,
    kappa = theta_E / (2 sqrt(q x**2 + y**2 / q))
    """
    flattening = torch.sqrt(torch.clamp(1 - q * q, min=_MIN_FLATTENING2))
    radius = torch.sqrt(q * q * x * x + y * y).clamp_min(torch.finfo(x.dtype).tiny ** 0.5)
    scale = theta_E * torch.sqrt(q) / flattening
    return scale * torch.atan(flattening * x / radius), scale * _atanh(flattening * y / radius)


def _atanh(t: Tensor) -> Tensor:
    """atanh, finite at |t| = 1, which rounding reaches on the minor axis of a thin ellipse."""
    limit = 1 - 4 * torch.finfo(t.dtype).eps
    return torch.atanh(t.clamp(-limit, limit))


def max_sie_deflection(*, theta_E: Tensor, q: Tensor) -> Tensor:
    """Largest deflection of the SIE, arcsec: that on its minor axis."""
    flattening = torch.sqrt(torch.clamp(1 - q * q, min=_MIN_FLATTENING2))
    return theta_E * torch.sqrt(q) / flattening * _atanh(flattening)


def shear_deflection(
    x: Tensor, y: Tensor, *, gamma1: Tensor, gamma2: Tensor
) -> tuple[Tensor, Tensor]:
    """Deflection of an external shear that vanishes at the origin; arcsec in, arcsec out."""
    return gamma1 * x + gamma2 * y, gamma2 * x - gamma1 * y


def rotate(x: Tensor, y: Tensor, phi: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates of the same points in axes turned counter-clockwise by phi (rad)."""
    c, s = torch.cos(phi), torch.sin(phi)
    return c * x + s * y, c * y - s * x


def source_plane(
    x: Tensor,
    y: Tensor,
    *,
    theta_E: Tensor,
    q: Tensor,
    phi: Tensor,
    gamma1: Tensor,
    gamma2: Tensor,
) -> tuple[Tensor, Tensor]:
    """Where rays through image points (x, y), arcsec from the mass centre, meet the source.

    SIE with major axis at phi (rad, counter-clockwise from +x) plus shear about the same centre.
    Returns beta_x, beta_y : like x, arcsec
    """
    u, v = rotate(x, y, phi)
    au, av = sie_deflection(u, v, theta_E=theta_E, q=q)
    ax, ay = rotate(au, av, -phi)
    gx, gy = shear_deflection(x, y, gamma1=gamma1, gamma2=gamma2)
    return x - ax - gx, y - ay - gy
