"""A tiny made stamp set for the report's tests: red hosts, blue arcs, three kinds a pair."""

import numpy as np

from darkhaloscope.schema import KINDS as ALL_KINDS
from darkhaloscope.units import BANDS

SIZE = 32
KINDS = ALL_KINDS[:3]


def made_columns(n_pairs: int = 4) -> dict[str, np.ndarray]:
    """Columns of n_pairs x three kinds; arc_snr rises with the pair number."""
    pair = np.repeat(np.arange(n_pairs), len(KINDS))
    kind = np.tile(KINDS, n_pairs)
    lit = kind != "host"
    host_id = np.array([f"host{i:03d}" for i in pair])
    columns = {
        "host_id": host_id,
        "pair_id": np.char.add(host_id, "-00"),
        "kind": kind,
        "pixel_scale_arcsec": np.full(len(pair), 0.262),
        "theta_E_arcsec": 1.0 + 0.1 * pair,
        "lens_center_x_arcsec": np.zeros(len(pair)),
        "lens_center_y_arcsec": np.zeros(len(pair)),
        "magnification": 5.0 + pair,
        "source_hlr_arcsec": 0.2 + 0.01 * pair,
        "source_g_minus_r": 0.2 + 0.05 * pair,
        "source_r_minus_z": 0.3 + 0.05 * pair,
        "z_source": 0.8 + 0.4 * pair,
        "host_mag_r": 20.0 + 0.1 * pair,
        "arc_flux_r_nmgy": lit * (1.0 + 0.1 * pair),
        "arc_snr": lit * (20.0 + 10.0 * pair),
        "ebv_mag": 0.02 + 0.003 * pair,
    }
    columns["task_id"] = np.array(
        [f"{p}-{k}" for p, k in zip(columns["pair_id"], columns["kind"], strict=True)]
    )
    for i, band in enumerate(BANDS):
        columns[f"psf_fwhm_{band}_arcsec"] = 1.2 + 0.05 * pair
        columns[f"psf_depth_{band}_mag"] = 24.0 + 0.02 * pair
        columns[f"sky_sigma_{band}_nmgy"] = np.full(len(pair), 0.002 * (i + 1))
        columns[f"arc_snr_{band}"] = columns["arc_snr"] / (2 + i)
    return columns


def made_images(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """task_id to (band, y, x): a red blob, and a blue one beside it where light is added."""
    rng = np.random.default_rng(1)
    sigma = np.array([0.002, 0.004, 0.006])[:, None, None]
    images = {}
    for task, kind in zip(columns["task_id"], columns["kind"], strict=True):
        image = rng.normal(0, sigma, (3, SIZE, SIZE)) + blob((0.05, 0.2, 0.6), 0.0)
        images[str(task)] = image + (kind != "host") * blob((0.1, 0.1, 0.1), 6.0)
    return images


def blob(fluxes, x_offset: float) -> np.ndarray:
    """Gaussian of these peak fluxes in g, r, z, x_offset pixels right of the centre."""
    y, x = np.indices((SIZE, SIZE)) - (SIZE - 1) / 2
    shape = np.exp(-0.5 * ((x - x_offset) ** 2 + y**2) / 2.0**2)
    return np.asarray(fluxes)[:, None, None] * shape
