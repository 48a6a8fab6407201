"""A small part of the survey, made: bricks as `.fits.fz`, and a parent table of hosts in them."""

from pathlib import Path

import numpy as np
from astropy.io import fits

from darkhaloscope.io.parts import claim
from darkhaloscope.io.tables import write_table
from darkhaloscope.schema import PARENT
from darkhaloscope.survey.bricks import SIDE_PIX, Brick, brick_of, coadd_path, pixel_of
from darkhaloscope.units import BANDS, PIXEL_SCALE_ARCSEC

SIGMA = {"g": 0.002, "r": 0.003, "z": 0.007}
FWHM = {"g": 1.5, "r": 1.3, "z": 1.2}
NEXP = {"g": 3, "r": 4, "z": 5}
PEAK = {"g": 0.1, "r": 0.3, "z": 0.6}


def header(brick: Brick, camera: str = "decam") -> fits.Header:
    """What the pipeline writes, of what is read."""
    cards = fits.Header()
    cards["BRICKNAM"] = brick.name
    for band in BANDS:
        cards[f"CAMS_{band.upper()}"] = camera
    cards["CTYPE1"], cards["CTYPE2"] = "RA---TAN", "DEC--TAN"
    cards["CRVAL1"], cards["CRVAL2"] = brick.ra_deg, brick.dec_deg
    cards["CRPIX1"] = cards["CRPIX2"] = (SIDE_PIX + 1) / 2
    cards["CD1_1"], cards["CD2_2"] = -PIXEL_SCALE_ARCSEC / 3600, PIXEL_SCALE_ARCSEC / 3600
    cards["CD1_2"] = cards["CD2_1"] = 0.0
    return cards


def image(brick: Brick, band: str, ra, dec, noisy: bool = False) -> np.ndarray:
    """A round Gaussian galaxy at each position, on noise within 60 pixels or everywhere."""
    rng = np.random.default_rng(sum(map(ord, brick.name + band)))
    sky = np.zeros((SIDE_PIX, SIDE_PIX), np.float32)
    if noisy:
        sky[:] = rng.standard_normal(sky.shape, np.float32) * SIGMA[band]
    for x, y in (pixel_of(r, d, brick) for r, d in zip(ra, dec, strict=True)):
        if not (-60 < x < SIDE_PIX + 60 and -60 < y < SIDE_PIX + 60):
            continue
        x0, x1 = (int(np.clip(x + s, 0, SIDE_PIX)) for s in (-60, 60))
        y0, y1 = (int(np.clip(y + s, 0, SIDE_PIX)) for s in (-60, 60))
        box = sky[y0:y1, x0:x1]
        if not noisy:
            box[:] = rng.standard_normal(box.shape, np.float32) * SIGMA[band]
        yy, xx = np.mgrid[y0:y1, x0:x1]
        box += PEAK[band] * np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / 2 / 3.0**2)
    return sky


def write_brick(
    root: Path, brick: Brick, ra, dec, *, camera="decam", bands=BANDS, noisy=False
) -> None:
    """All coadds of a brick below `root`."""
    for band in bands:
        planes = {
            "image": image(brick, band, ra, dec, noisy),
            "invvar": np.full((SIDE_PIX, SIDE_PIX), SIGMA[band] ** -2, np.float32),
            "psfsize": np.full((SIDE_PIX, SIDE_PIX), FWHM[band], np.float32),
            "nexp": np.full((SIDE_PIX, SIDE_PIX), NEXP[band], np.int16),
        }
        if noisy:  # as in the survey: no two tiles alike
            planes["invvar"] *= 1 + 0.05 * image(brick, "g", [], [], True) / SIGMA["g"]
            planes["psfsize"] += image(brick, "r", [], [], True)
        for product, pixels in planes.items():
            write_coadd(root / coadd_path(brick.name, product, band), pixels, header(brick, camera))
    mask = np.zeros((SIDE_PIX, SIDE_PIX), np.int16)
    mask[:100] = 1  # NPRIMARY
    write_coadd(root / coadd_path(brick.name, "maskbits"), mask, header(brick, camera))


def write_coadd(path: Path, pixels: np.ndarray, cards: fits.Header) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = "RICE_1" if pixels.dtype.kind == "f" else "GZIP_1"
    hdu = fits.CompImageHDU(
        pixels, cards, compression_type=kind, tile_shape=(100, 100), dither_seed=1,
        quantize_method=2,
    )  # fmt: skip
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)


def parent_rows(ra, dec, **changed) -> dict[str, np.ndarray]:
    """Columns of schema.PARENT for hosts at these positions, in the order given."""
    n = len(ra)
    ra, dec = np.asarray(ra, float), np.asarray(dec, float)
    rows = {}
    for c in PARENT:
        kind = c.dtype.to_pandas_dtype()
        rows[c.name] = np.full(n, np.nan) if kind is np.float64 else np.zeros(n, kind)
    rows |= {
        "host_id": np.array([f"h{i:05d}" for i in range(n)], object),
        "ra_deg": ra,
        "dec_deg": dec,
        "brick": np.array([brick_of(r, d).name for r, d in zip(ra, dec, strict=True)], object),
        "telescope": np.full(n, "decam", object),
        "split": np.full(n, "train", object),
        "type": np.full(n, "DEV", object),
        "ebv_mag": np.full(n, 0.05),
    }
    for band in BANDS:
        rows[f"host_mag_{band}"] = np.full(n, {"g": 21.5, "r": 20.2, "z": 19.2}[band])
        rows[f"psf_depth_{band}_mag"] = np.full(n, 24.5)
    shape = {"host_r_e_arcsec": 0.9, "host_q": 0.8, "host_phi_rad": 0.3, "sersic_n": 4.0}
    return rows | {k: np.full(n, v) for k, v in shape.items()} | changed


def write_parent(folder: Path, rows: dict[str, np.ndarray]) -> Path:
    """A finished parent table in one part."""
    store = claim(folder, {"stage": "parent"})
    order = np.lexsort((rows["host_id"].astype(str), rows["brick"].astype(str)))
    write_table(store.path(0), {k: v[order] for k, v in rows.items()}, PARENT, store.metadata())
    store.write_record(hosts=len(order))
    return folder


def scattered(brick: Brick, n: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Positions in a brick, clear of its edges by 10 arcsec."""
    rng = np.random.default_rng(seed)
    d = rng.uniform(-0.12, 0.12, (2, n))
    return brick.ra_deg + d[0] / np.cos(np.radians(brick.dec_deg)), brick.dec_deg + d[1]
