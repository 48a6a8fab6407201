"""`make accuracy`: the renderer's errors over hard scenes, against 31 x 31 rays a pixel.

Scenes: q 0.3 to 1, theta_E 0.3 to 3 arcsec, sources anywhere, on folds and on cusps, PSFs of 0.7 to
2.5 arcsec of every kind, stamps of 64, 101 and 128 pixels. Errors are the worst pixel over the
peak, and the flux on the stamp over its own.
"""

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import numpy as np
import reference
import torch

from darkhaloscope.keys import generator
from darkhaloscope.sim.grid import Grid
from darkhaloscope.sim.hybrid import hybrid_template
from darkhaloscope.sim.mapping import source_plane
from darkhaloscope.sim.psf import Gaussian, Images, Moffat, Psf
from darkhaloscope.sim.render import render
from darkhaloscope.sim.scene import Scenes, stack
from darkhaloscope.sim.sources import Templates

SCALE, TEMPLATE_SCALE, SIZES = 0.262, 0.03, (64, 101, 128)
KINDS = ("moffat", "moffat on pixels", "elliptical", "gaussian", "image")
PLACES = ("anywhere", "fold", "cusp")


def template(seed: str) -> np.ndarray:
    """A clumpy galaxy of 128 x 128 pixels of 0.03 arcsec."""
    settings = {
        "size": 128, "pixel_scale": TEMPLATE_SCALE, "hlr_median": 0.25, "hlr_scatter": 0.3,
        "clump_count_mean": 8.0, "clump_flux_fraction_max": 0.5, "psf_fwhm": 0.15,
    }  # fmt: skip
    return hybrid_template(generator(seed), **settings)[0]


def system(i: int) -> dict:
    """Plain numbers of the i-th scene, its PSF, its size and where its source was put."""
    rng = generator(f"accuracy-{i}")
    scene = {
        "theta_E": float(np.exp(rng.uniform(np.log(0.3), np.log(3.0)))),
        "q": rng.uniform(0.3, 1.0), "phi": rng.uniform(0, np.pi),
        "gamma1": rng.normal(0, 0.05), "gamma2": rng.normal(0, 0.05),
        "center_x": rng.uniform(-0.13, 0.13), "center_y": rng.uniform(-0.13, 0.13),
        "source_phi": rng.uniform(0, 2 * np.pi),
        "source_scale": TEMPLATE_SCALE * rng.uniform(0.6, 1.0),
    }  # fmt: skip
    place = PLACES[i % 3]
    scene["source_x"], scene["source_y"] = _place(scene, place, rng)
    kind = KINDS[i % 5]
    psf = {
        "kind": kind.split()[0].replace("elliptical", "moffat"),
        "fwhm": rng.uniform(0.7, 2.5),
        "includes_pixel": kind != "moffat on pixels",
        "e1": rng.uniform(-0.15, 0.15) if kind == "elliptical" else 0.0,
        "e2": rng.uniform(-0.15, 0.15) if kind == "elliptical" else 0.0,
    }
    if kind == "image":
        # a survey's PSF image: 63 pixels, effective, here of a PSF that its pixels can hold
        psf["fwhm"] = rng.uniform(1.0, 2.0)
        axis = (np.arange(63) - 31) * SCALE
        sigma = psf["fwhm"] / 2.3548200450309493
        psf["image"] = np.exp(-(axis[:, None] ** 2 + 1.2 * axis[None, :] ** 2) / (2 * sigma**2))
    return {
        "scene": scene, "psf": psf, "size": SIZES[i % 7 % 3], "place": place, "kind": kind,
        "template": f"accuracy-{i % 40}",
    }  # fmt: skip


def _place(scene: dict, place: str, rng) -> tuple[float, float]:
    if place == "anywhere":
        radius, angle = scene["theta_E"] * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
        return float(radius * np.cos(angle)), float(radius * np.sin(angle))
    caustic = _caustic(scene)
    if place == "fold":
        return tuple(caustic[rng.integers(len(caustic))].tolist())
    farthest = np.argsort(np.hypot(*caustic.T))[-1]  # the outermost point is a cusp
    return tuple(caustic[farthest].tolist())


def _caustic(scene: dict) -> np.ndarray:
    """Points of the tangential caustic: where the ray map folds outermost, in 720 directions."""
    angle = torch.linspace(0, 2 * np.pi, 721, dtype=torch.float64)[:-1]
    # an isothermal lens folds once along a line from its centre: detA grows outwards through 0
    low, high = torch.full_like(angle, 1e-3), torch.full_like(angle, 12.0)
    rows = scenes([scene | {"source_x": 0.0, "source_y": 0.0}])
    for _ in range(50):
        middle = (low + high) / 2
        folded = _det(rows, middle * torch.cos(angle), middle * torch.sin(angle)) < 0
        low, high = torch.where(folded, middle, low), torch.where(folded, high, middle)
    return torch.stack(source_plane(rows, *_polar(low, angle)), -1)[0].numpy()


def _polar(radius, angle):
    return (radius * torch.cos(angle))[None], (radius * torch.sin(angle))[None]


def _det(rows: Scenes, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    h = 1e-5
    east, west = (source_plane(rows, (x + d)[None], y[None]) for d in (h, -h))
    north, south = (source_plane(rows, x[None], (y + d)[None]) for d in (h, -h))
    xx, yx = ((a - b)[0] / (2 * h) for a, b in zip(east, west, strict=True))
    xy, yy = ((a - b)[0] / (2 * h) for a, b in zip(north, south, strict=True))
    return xx * yy - xy * yx


def scenes(rows: list[dict], fwhm: float = 1.0) -> Scenes:
    """One band of unit flux."""
    named = {name: stack([row[name] for row in rows]) for name in rows[0] if name != "companions"}
    one = torch.ones(len(rows), 1, dtype=torch.float64)
    template = torch.zeros(len(rows), dtype=torch.long)
    return Scenes(**named, template=template, flux=one, psf_fwhm=fwhm * one)


def ours(case: dict, tolerance: float) -> np.ndarray:
    psf, rows = case["psf"], scenes([case["scene"]], case["psf"]["fwhm"])
    family: Psf = Moffat(includes_pixel=psf["includes_pixel"])
    if case["kind"] == "gaussian":
        family = Gaussian()
    if case["kind"] == "elliptical":
        rows = replace(rows, psf_e1=stack([[psf["e1"]]]), psf_e2=stack([[psf["e2"]]]))
    if case["kind"] == "image":
        family = Images(torch.from_numpy(psf["image"])[None])
        rows = replace(rows, psf_image=torch.zeros(1, 1, dtype=torch.long))
    images = Templates(torch.from_numpy(template(case["template"]))[None].float())
    grid = Grid(case["size"], SCALE, tolerance)
    return render(rows, images, grid, family)[0, 0].double().numpy()


def judge(i: int, tolerances: tuple[float, ...]) -> list[tuple[float, float]]:
    """(worst pixel, flux) errors at each tolerance."""
    torch.set_num_threads(1)
    case = system(i)
    truth = reference.image(
        case["scene"], template(case["template"]), [case["psf"]], case["size"], SCALE
    )[0]
    found = [ours(case, tolerance) for tolerance in tolerances]
    return [
        (
            float(np.abs(image - truth).max() / truth.max()),
            float(abs(image.sum() / truth.sum() - 1)),
        )
        for image in found
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--systems", type=int, default=315)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--tolerances", type=float, nargs="+", default=[1e-3, 1e-2])
    args = parser.parse_args()
    tolerances = tuple(args.tolerances)
    with ProcessPoolExecutor(args.workers) as pool:
        errors = np.array(
            list(pool.map(judge, range(args.systems), args.systems * [tolerances], chunksize=4))
        )
    cases = [system(i) for i in range(args.systems)]
    groups = {"all": np.ones(len(cases), bool)}
    for key in ("place", "kind", "size"):
        for value in dict.fromkeys(case[key] for case in cases):
            groups[f"{key} {value}"] = np.array([case[key] == value for case in cases])
    print("worst pixel over peak, and flux: median and worst")
    for k, tolerance in enumerate(tolerances):
        print(f"\ntolerance {tolerance:g}")
        for name, chosen in groups.items():
            pixel, flux = errors[chosen, k].T
            print(
                f"  {name:24s} {chosen.sum():4d}  pixel {np.median(pixel):.3%} {pixel.max():.3%}"
                f"   flux {np.median(flux):.3%} {flux.max():.3%}"
            )
        for i in np.argsort(errors[:, k, 0])[-3:]:
            print(f"  worst pixels: system {i}: {errors[i, k, 0]:.3%}")
        for i in np.argsort(errors[:, k, 1])[-3:]:
            print(f"  worst flux: system {i}: {errors[i, k, 1]:.3%}")


if __name__ == "__main__":
    main()
