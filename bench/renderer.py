"""`make bench`: the renderer against lenstronomy, accuracy beside speed, ratios within one run.

One process pinned to one core and one thread; the methods take turns on the same scenes, and the
medians of the per-turn ratios are printed. Work: 64 x 64 x 3 bands, clumpy 128 x 128 templates at
0.03 arcsec, theta_E 0.8 to 2.5 arcsec, q 0.5 to 0.95, shear, Moffat PSFs of 1.3, 1.2 and 1.1
arcsec. Error is the worst pixel over the peak, against rays 20 times finer than a pixel.
"""

import os
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from darkhaloscope.keys import generator
from darkhaloscope.sim.grid import Grid
from darkhaloscope.sim.light import hybrid_template
from darkhaloscope.sim.render import render
from darkhaloscope.sim.scene import Scenes, stack

ROWS, TURNS, SIZE, SCALE = 24, 7, 64, 0.262
FWHM = (1.3, 1.2, 1.1)
TEMPLATE_SCALE = 0.03


def templates() -> torch.Tensor:
    settings = {
        "size": 128, "pixel_scale": TEMPLATE_SCALE, "hlr_median": 0.25, "hlr_scatter": 0.3,
        "clump_count_mean": 8.0, "clump_flux_fraction_max": 0.5, "psf_fwhm": 0.15,
    }  # fmt: skip
    images = [hybrid_template(generator(f"bench-{i}"), **settings)[0] for i in range(ROWS)]
    return torch.from_numpy(np.array(images, np.float32))


def scenes() -> Scenes:
    u = generator("bench-scenes").random((10, ROWS))
    theta_E = 0.8 + 1.7 * u[0]
    columns = {
        "theta_E": theta_E,
        "q": 0.5 + 0.45 * u[1],
        "phi": np.pi * u[2],
        "gamma1": 0.1 * (u[3] - 0.5),
        "gamma2": 0.1 * (u[4] - 0.5),
        "center_x": 0.26 * (u[5] - 0.5),
        "center_y": 0.26 * (u[6] - 0.5),
        "source_x": 0.5 * theta_E * (u[7] - 0.5),
        "source_y": 0.5 * theta_E * (u[8] - 0.5),
        "source_phi": 2 * np.pi * u[9],
        "source_scale": np.full(ROWS, TEMPLATE_SCALE),
        "flux": np.ones((ROWS, 3)),
        "psf_fwhm": np.tile(FWHM, (ROWS, 1)),
    }
    return Scenes(**{k: stack(v) for k, v in columns.items()}, template=torch.arange(ROWS))


def ours(supersampling: int) -> Callable[[Scenes, torch.Tensor], np.ndarray]:
    grid = Grid(SIZE, SCALE, supersampling)
    return lambda rows, images: render(rows, images, grid, psf_includes_pixel=False).numpy()


def lenstronomy_as_written(rows: Scenes, images: torch.Tensor) -> np.ndarray:
    """As its tutorials do: INTERPOL, SIE, SHEAR, a pixel kernel, supersampling 3, band by band."""
    from lenstronomy.Data.imaging_data import ImageData
    from lenstronomy.Data.psf import PSF
    from lenstronomy.ImSim.image_model import ImageModel
    from lenstronomy.LensModel.lens_model import LensModel
    from lenstronomy.LightModel.light_model import LightModel
    from lenstronomy.Util.param_util import phi_q2_ellipticity

    edge = -(SIZE - 1) / 2 * SCALE
    data = ImageData(
        image_data=np.zeros((SIZE, SIZE)),
        ra_at_xy_0=edge,
        dec_at_xy_0=edge,
        transform_pix2angle=np.eye(2) * SCALE,
    )
    stamps = np.zeros((len(rows), 3, SIZE, SIZE))
    for i in range(len(rows)):
        row = {name: float(getattr(rows, name)[i]) for name in _SCALARS}
        e1, e2 = phi_q2_ellipticity(row["phi"], row["q"])
        cx, cy = row["center_x"], row["center_y"]
        lens = [
            {"theta_E": row["theta_E"], "e1": e1, "e2": e2, "center_x": cx, "center_y": cy},
            {"gamma1": row["gamma1"], "gamma2": row["gamma2"], "ra_0": cx, "dec_0": cy},
        ]
        light = {
            "image": images[i].numpy().astype(float) / TEMPLATE_SCALE**2,
            "amp": 1.0,
            "center_x": cx + row["source_x"],
            "center_y": cy + row["source_y"],
            "phi_G": row["source_phi"],
            "scale": TEMPLATE_SCALE,
        }
        for b in range(3):
            kernel = moffat_kernel(float(rows.psf_fwhm[i, b]))
            model = ImageModel(
                data,
                PSF(psf_type="PIXEL", kernel_point_source=kernel),
                LensModel(["SIE", "SHEAR"]),
                source_model_class=LightModel(
                    ["INTERPOL"]
                ),  # a new one each time: it caches the first image it sees
                kwargs_numerics={"supersampling_factor": 3, "supersampling_convolution": False},
            )
            stamps[i, b] = float(rows.flux[i, b]) * model.image(lens, [light])
    return stamps


_SCALARS = (
    "theta_E", "q", "phi", "gamma1", "gamma2", "center_x", "center_y",
    "source_x", "source_y", "source_phi",
)  # fmt: skip


def moffat_kernel(fwhm: float, beta: float = 3.5) -> np.ndarray:
    """A Moffat averaged over pixels, as one would hand it to lenstronomy; 41 pixels wide."""
    import galsim

    moffat = galsim.Moffat(beta, fwhm=fwhm)
    return moffat.drawImage(nx=41, ny=41, scale=SCALE, method="no_pixel").array.astype(float)


def worst_error(stamps: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Worst pixel over the reference's peak, per stamp and band."""
    return np.abs(stamps - reference).max((2, 3)) / reference.max((2, 3))


def main() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    rows, images = scenes(), templates()
    reference = render(rows, images.double(), Grid(SIZE, SCALE, 20), psf_includes_pixel=False)
    methods = {
        "darkhaloscope, 4 x 4 rays": ours(4),
        "darkhaloscope, 2 x 2 rays": ours(2),
    }
    try:
        import lenstronomy
    except ImportError:
        print(
            "lenstronomy is not installed and is left out; pip install 'darkhaloscope[reference]'"
        )
    else:
        methods[f"lenstronomy {lenstronomy.__version__} as written"] = lenstronomy_as_written
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    errors = {
        name: worst_error(run(rows, images), reference.numpy()) for name, run in methods.items()
    }
    for _ in range(TURNS):
        for name, run in methods.items():
            start = time.perf_counter()
            run(rows, images)
            seconds[name].append(time.perf_counter() - start)
    slowest = max(seconds, key=lambda name: statistics.median(seconds[name]))
    print(f"{ROWS} stamps of {SIZE} x {SIZE} x 3 bands, one core, medians of {TURNS} turns")
    print(f"{'method':<34} {'stamps/s':>9} {'ratio':>7} {'error: median':>14} {'worst':>8}")
    for name, times in seconds.items():
        ratio = statistics.median(b / a for a, b in zip(times, seconds[slowest], strict=True))
        rate = ROWS / statistics.median(times)
        print(
            f"{name:<34} {rate:9.0f} {ratio:6.1f}x "
            f"{np.median(errors[name]):14.2%} {errors[name].max():8.2%}"
        )


if __name__ == "__main__":
    main()
