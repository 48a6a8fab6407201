"""Catalogues as the survey writes them, made: sweeps of DR10's columns, Tractor files of bricks."""

from pathlib import Path

import numpy as np
from astropy.table import Table

from darkhaloscope.units import BANDS

LRG = {"g": 21.9, "r": 20.2, "z": 19.1, "w1": 17.8}
"""An elliptical at z 0.4 or so, AB; all selections take it."""


def rows(ra, dec, mags=LRG, **changed) -> dict[str, np.ndarray]:
    """Columns of a DR10 sweep, upper case, good galaxies all."""
    n = len(ra)
    columns = {
        "RELEASE": np.full(n, 10000, np.int16),
        "BRICKID": np.full(n, 330000, np.int32),
        "OBJID": np.arange(n, dtype=np.int32),
        "BRICKNAME": np.full(n, b"3301m002"),
        "TYPE": np.full(n, b"SER"),
        "RA": np.asarray(ra, float),
        "DEC": np.asarray(dec, float),
        "EBV": np.full(n, 0.03, np.float32),
        "MASKBITS": np.zeros(n, np.int16),
        "SERSIC": np.full(n, 3.5, np.float32),
        "SHAPE_R": np.full(n, 1.1, np.float32),
        "SHAPE_E1": np.full(n, 0.1, np.float32),
        "SHAPE_E2": np.full(n, -0.2, np.float32),
        "FLUX_W1": np.full(n, 10 ** (0.4 * (22.5 - mags["w1"])), np.float32),
        "FLUX_IVAR_W1": np.full(n, 3.0, np.float32),
        "FIBERFLUX_Z": np.full(n, 8.0, np.float32),
        "REF_CAT": np.full(n, b"  "),
    }
    for band in BANDS:
        b = band.upper()
        values = {
            f"FLUX_{b}": 10 ** (0.4 * (22.5 - mags[band])),
            f"FLUX_IVAR_{b}": 500.0,
            f"PSFDEPTH_{b}": {"G": 1500.0, "R": 900.0, "Z": 120.0}[b],
            f"PSFSIZE_{b}": {"G": 1.5, "R": 1.3, "Z": 1.2}[b],
            f"FRACFLUX_{b}": 0.01,
            f"FRACMASKED_{b}": 0.01,
            f"FRACIN_{b}": 1.0,
        }
        columns |= {k: np.full(n, v, np.float32) for k, v in values.items()}
        columns[f"NOBS_{b}"] = np.full(n, 4, np.int16)
        columns[f"ALLMASK_{b}"] = np.zeros(n, np.int16)
    return columns | {k: np.asarray(v) for k, v in changed.items()}


def write(path: Path, columns: dict[str, np.ndarray]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Table(columns).write(path)
    return path


def sky(n: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Positions all over the southern survey."""
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-0.85, 0.5, n)))
