"""Other renderers on the same work: what they are given, and how they are used.

Each maker returns a function of Work that gives (row, band, y, x), or raises ImportError when its
package is not installed. All use rays 3 x 3 a pixel.
"""

import warnings
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from work import BETA, FWHM, SCALE, SIZE, TEMPLATE_SCALE, Work

Method = Callable[[Work], np.ndarray]
PER_PIXEL = 3
_PADDED = 112


@lru_cache(maxsize=8)
def moffat_kernel(fwhm: float) -> np.ndarray:
    """A Moffat at pixel centres, as one would hand it to lenstronomy; 41 pixels wide."""
    import galsim

    moffat = galsim.Moffat(BETA, fwhm=fwhm)
    return moffat.drawImage(nx=41, ny=41, scale=SCALE, method="no_pixel").array.astype(float)


@lru_cache(maxsize=1)
def kernel_transforms() -> np.ndarray:
    """(band, k_y, k_x) of the kernels, centred on pixel 0."""
    padded = np.zeros((3, _PADDED, _PADDED))
    padded[:, :41, :41] = [moffat_kernel(fwhm) for fwhm in FWHM]
    return np.fft.rfft2(np.roll(padded, (-20, -20), (1, 2)))


def _lenstronomy_lens(row: dict):
    from lenstronomy.LensModel.lens_model import LensModel
    from lenstronomy.Util.param_util import phi_q2_ellipticity

    e1, e2 = phi_q2_ellipticity(row["phi"], row["q"])
    cx, cy = row["center_x"], row["center_y"]
    return LensModel(["SIE", "SHEAR"]), [
        {"theta_E": row["theta_E"], "e1": e1, "e2": e2, "center_x": cx, "center_y": cy},
        {"gamma1": row["gamma1"], "gamma2": row["gamma2"], "ra_0": cx, "dec_0": cy},
    ]


def _lenstronomy_light(row: dict, image: np.ndarray) -> dict:
    return {
        "image": image.astype(float) / TEMPLATE_SCALE**2,
        "amp": 1.0,
        "center_x": row["center_x"] + row["source_x"],
        "center_y": row["center_y"] + row["source_y"],
        "phi_G": row["source_phi"],
        "scale": TEMPLATE_SCALE,
    }


def lenstronomy_as_written() -> tuple[str, Method]:
    """As its tutorials do: INTERPOL, SIE, SHEAR, a pixel kernel, one ImageModel a band."""
    import lenstronomy
    from lenstronomy.Data.imaging_data import ImageData
    from lenstronomy.Data.psf import PSF
    from lenstronomy.ImSim.image_model import ImageModel
    from lenstronomy.LightModel.light_model import LightModel

    edge = -(SIZE - 1) / 2 * SCALE
    data = ImageData(
        image_data=np.zeros((SIZE, SIZE)), ra_at_xy_0=edge, dec_at_xy_0=edge,
        transform_pix2angle=np.eye(2) * SCALE,
    )  # fmt: skip
    numerics = {"supersampling_factor": PER_PIXEL, "supersampling_convolution": False}

    def run(work: Work) -> np.ndarray:
        stamps = np.zeros((len(work), 3, SIZE, SIZE))
        for i, (row, image) in enumerate(zip(work.rows, work.templates, strict=True)):
            lens, keywords = _lenstronomy_lens(row)
            light = _lenstronomy_light(row, image)
            for b, fwhm in enumerate(FWHM):
                psf = PSF(psf_type="PIXEL", kernel_point_source=moffat_kernel(fwhm))
                # a new light model each time: it keeps the first image that it sees
                source = LightModel(["INTERPOL"])
                model = ImageModel(
                    data, psf, lens, source_model_class=source, kwargs_numerics=numerics
                )
                stamps[i, b] = model.image(keywords, [light]) * 1.0
        return stamps

    return f"lenstronomy {lenstronomy.__version__}, as written", run


def lenstronomy_optimised() -> tuple[str, Method]:
    """Its deflections and interpolation, one ray-shoot for all bands, rays only in pixels that
    may see the source, and cached transforms of the kernels."""
    import lenstronomy
    from lenstronomy.LightModel.light_model import LightModel

    axis = (np.arange(SIZE) - (SIZE - 1) / 2) * SCALE
    coarse_x, coarse_y = (a.ravel() for a in np.meshgrid(axis, axis))
    sub = ((np.arange(PER_PIXEL) + 0.5) / PER_PIXEL - 0.5) * SCALE
    sub_x, sub_y = (a.ravel() for a in np.meshgrid(sub, sub))
    reach = 128 / 2 * TEMPLATE_SCALE

    def run(work: Work) -> np.ndarray:
        stamps = np.zeros((len(work), 3, SIZE, SIZE))
        for i, (row, image) in enumerate(zip(work.rows, work.templates, strict=True)):
            lens, keywords = _lenstronomy_lens(row)
            light = _lenstronomy_light(row, image)
            bx, by = lens.ray_shooting(coarse_x, coarse_y, keywords)
            away = np.hypot(bx - light["center_x"], by - light["center_y"])
            active = np.flatnonzero(away < reach + SCALE)
            x = (coarse_x[active, None] + sub_x).ravel()
            y = (coarse_y[active, None] + sub_y).ravel()
            bx, by = lens.ray_shooting(x, y, keywords)
            seen = LightModel(["INTERPOL"]).surface_brightness(bx, by, [light])
            pixels = np.zeros(SIZE * SIZE)
            pixels[active] = seen.reshape(len(active), -1).mean(1) * SCALE**2
            spectrum = np.fft.rfft2(pixels.reshape(SIZE, SIZE), s=(_PADDED, _PADDED))
            blurred = np.fft.irfft2(spectrum * kernel_transforms(), s=(_PADDED, _PADDED))
            stamps[i] = blurred[:, :SIZE, :SIZE]
        return stamps

    return f"lenstronomy {lenstronomy.__version__}, optimised", run


def _template_axes(row: dict, bx, by, cos, sin):
    """Template pixels of source positions, for packages without a rotated image as source."""
    dx = bx - (row["center_x"] + row["source_x"])
    dy = by - (row["center_y"] + row["source_y"])
    c, s = cos(row["source_phi"]), sin(row["source_phi"])
    return (c * dx + s * dy) / TEMPLATE_SCALE, (c * dy - s * dx) / TEMPLATE_SCALE


def caustics_compiled() -> tuple[str, Method]:
    """Its SIE, shear and interpolation in one compiled function a stamp, all pixels."""
    import caustics
    import torch
    from caustics.lenses.func import (
        reduced_deflection_angle_external_shear,
        reduced_deflection_angle_sie,
    )
    from caustics.utils import interp2d

    n = SIZE * PER_PIXEL
    axis = (torch.arange(n) - (n - 1) / 2) * (SCALE / PER_PIXEL)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    transforms = torch.from_numpy(kernel_transforms()).to(torch.complex64)

    def stamp(row, image):
        ax, ay = reduced_deflection_angle_sie(
            row["center_x"], row["center_y"], row["q"], row["phi"], row["theta_E"], x, y
        )
        gx, gy = reduced_deflection_angle_external_shear(
            row["center_x"], row["center_y"], row["gamma1"], row["gamma2"], x, y
        )
        u, v = _template_axes(row, x - ax - gx, y - ay - gy, torch.cos, torch.sin)
        light = interp2d(image, (u / 64).reshape(-1), (v / 64).reshape(-1)).reshape(n, n)
        pixels = light.unflatten(1, (SIZE, -1)).unflatten(0, (SIZE, -1)).mean((1, 3))
        return pixels * (SCALE / TEMPLATE_SCALE) ** 2

    compiled = torch.compile(stamp)

    def run(work: Work) -> np.ndarray:
        stamps = torch.empty(len(work), 3, SIZE, SIZE)
        images = torch.from_numpy(work.templates)
        for i, row in enumerate(work.rows):
            plain = {name: torch.tensor(value, dtype=torch.float32) for name, value in row.items()}
            spectrum = torch.fft.rfft2(compiled(plain, images[i]), s=(_PADDED, _PADDED))
            blurred = torch.fft.irfft2(spectrum * transforms, s=(_PADDED, _PADDED))
            stamps[i] = blurred[:, :SIZE, :SIZE]
        return stamps.numpy()

    return f"caustics {caustics.__version__}, compiled", run


def jaxtronomy_jit() -> tuple[str, Method]:
    """Its SIE and SHEAR, JAX's interpolation and transforms, one jitted function a stamp."""
    from importlib.metadata import version

    import jax
    import jax.numpy as jnp
    from jax.scipy.ndimage import map_coordinates

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from jaxtronomy.LensModel.lens_model import LensModel
        from lenstronomy.Util.param_util import phi_q2_ellipticity

    jax.config.update("jax_enable_x64", False)
    n = SIZE * PER_PIXEL
    axis = (jnp.arange(n) - (n - 1) / 2) * (SCALE / PER_PIXEL)
    x, y = (a.ravel() for a in jnp.meshgrid(axis, axis))
    lens = LensModel(["SIE", "SHEAR"])
    transforms = jnp.asarray(kernel_transforms().astype(np.complex64))

    @jax.jit
    def stamp(row, keywords, image):
        bx, by = lens.ray_shooting(x, y, keywords)
        u, v = _template_axes(row, bx, by, jnp.cos, jnp.sin)
        light = map_coordinates(image, [v + 63.5, u + 63.5], order=1)
        pixels = light.reshape(SIZE, PER_PIXEL, SIZE, PER_PIXEL).mean((1, 3))
        pixels = pixels * (SCALE / TEMPLATE_SCALE) ** 2
        spectrum = jnp.fft.rfft2(pixels, s=(_PADDED, _PADDED))
        blurred = jnp.fft.irfft2(spectrum * transforms, s=(_PADDED, _PADDED))
        return blurred[:, :SIZE, :SIZE]

    def run(work: Work) -> np.ndarray:
        stamps = np.zeros((len(work), 3, SIZE, SIZE))
        for i, (row, image) in enumerate(zip(work.rows, work.templates, strict=True)):
            e1, e2 = phi_q2_ellipticity(row["phi"], row["q"])
            cx, cy = row["center_x"], row["center_y"]
            keywords = [
                {"theta_E": row["theta_E"], "e1": e1, "e2": e2, "center_x": cx, "center_y": cy},
                {"gamma1": row["gamma1"], "gamma2": row["gamma2"], "ra_0": cx, "dec_0": cy},
            ]
            stamps[i] = stamp(row, keywords, image)
        return stamps

    return f"JAXtronomy {version('jaxtronomy')}, jit", run


MAKERS = {
    "lenstronomy as written": lenstronomy_as_written,
    "lenstronomy optimised": lenstronomy_optimised,
    "caustics": caustics_compiled,
    "JAXtronomy": jaxtronomy_jit,
}
