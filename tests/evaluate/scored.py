"""Scores of a made finder: how good it is on every kind of row is known."""

import numpy as np
from scipy.special import expit

BETTER = {"lens": 2.0, "ring": 1.0, "host": 0.0, "luminous": 0.0}
"""Mean logit of each kind, in units of its scatter."""


def columns(rng, plan, **settings) -> dict[str, np.ndarray]:
    """Rows as io.scores.Scored has them.

    plan : (kind, place, split, how many); settings : shift, of every lens's logit
    """
    kind, place, split = (
        np.concatenate([np.full(n, words[i], object) for *words, n in plan]) for i in range(3)
    )
    n = len(kind)
    logit = np.array([BETTER[k] for k in kind]) + rng.normal(0, 1, n)
    logit[kind == "lens"] += settings.get("shift", 0.0)
    told = {
        "host_mag_g": rng.normal(21.5, 0.4, n),
        "host_mag_r": rng.normal(20.0, 0.5, n),
        "host_mag_z": rng.normal(19.0, 0.5, n),
        "psf_fwhm_r_arcsec": rng.normal(1.3, 0.1, n),
        "psf_depth_r_mag": rng.normal(24.5, 0.3, n),
    }
    ids = np.array([f"task-{i}" for i in range(n)], object)
    return {
        "task_id": ids,
        "host_id": np.array([f"host-{i}" for i in range(n)], object),
        "kind": kind,
        "split": split,
        "place": place,
        "ra_deg": np.full(n, np.nan),
        "dec_deg": np.full(n, np.nan),
        "visible": np.where(
            (kind == "lens") & (place == "sky") & (np.arange(n) % 3 > 0), "yes", ""
        ),
        "logit": logit,
        "score": expit(logit),
        **told,
    }


EVERY = (
    ("lens", "stamps", "test", 200),
    ("lens", "sky", "test", 68),
    ("ring", "stamps", "test", 120),
    ("ring", "sky", "test", 60),
    ("host", "stamps", "test", 1500),
    ("luminous", "sky", "test", 1600),
    ("luminous", "sky", "val", 3100),
    ("lens", "stamps", "train", 50),
)
