"""`dhs cutouts synthetic`: a made sky, written as the survey's cutouts are."""

import math
from pathlib import Path

from darkhaloscope.config import CutoutsSynthetic
from darkhaloscope.io.parts import PartStore, claim
from darkhaloscope.jobs.cutout_store import cutout_row, versions, write_part, write_record
from darkhaloscope.jobs.pool import each
from darkhaloscope.jobs.progress import progress
from darkhaloscope.keys import generator
from darkhaloscope.sim import sky
from darkhaloscope.survey.split import split_by_sky
from darkhaloscope.units import PIXEL_SCALE_ARCSEC

_HOSTS_PER_PART = 240


def cutouts_synthetic(out: Path, cfg: CutoutsSynthetic, processes: int) -> None:
    """Write a store of made cutouts; parts that exist are kept."""
    store = claim(out, {"stage": "cutouts synthetic", "config": cfg.as_json(), **versions()})
    n_parts = math.ceil(cfg.n_hosts / _HOSTS_PER_PART)
    todo = [(store, cfg, part) for part in range(n_parts) if not store.is_done(part)]
    with progress("cutouts", sum(len(_hosts(cfg, part)) for _, _, part in todo), "hosts") as done:
        for count in each(_synthetic_part, todo, processes):
            done(count)
    write_record(store)


def _hosts(cfg: CutoutsSynthetic, part: int) -> range:
    return range(part * _HOSTS_PER_PART, min((part + 1) * _HOSTS_PER_PART, cfg.n_hosts))


def _synthetic_part(task: tuple[PartStore, CutoutsSynthetic, int]) -> int:
    store, cfg, part = task
    rows = [_synthetic_row(cfg, f"syn{cfg.seed}-{index:07d}") for index in _hosts(cfg, part)]
    write_part(store, part, rows)
    return len(rows)


def _synthetic_row(cfg: CutoutsSynthetic, host_id: str) -> dict:
    rng = generator(host_id, str(cfg.seed), "sky")
    ra = rng.uniform(0, 360)
    dec = math.degrees(math.asin(rng.uniform(math.sin(math.radians(-60)), 0.5)))  # to Dec +30
    seen, host = sky.draw_conditions(rng), sky.draw_host(rng)
    half_side = (cfg.size_pix / 2 + 8) * PIXEL_SCALE_ARCSEC
    field = sky.draw_neighbours(rng, half_side, cfg.neighbours_per_arcmin2)
    light = sky.paint([host, *field], seen, cfg.size_pix)
    image, invvar = sky.expose(rng, light, seen, cfg.noise_lag1)
    dimmed = host.mags + sky.extinction(seen.ebv)
    return cutout_row(
        host_id=host_id,
        ra_deg=ra,
        dec_deg=dec,
        brick="synthetic",
        telescope="synthetic",
        split=split_by_sky(ra, dec, cfg.split_fractions, f"sky-{cfg.seed}"),
        ebv_mag=seen.ebv,
        psf_fwhm=seen.psf_fwhm,
        psf_depth=seen.depth,
        nexp=seen.nexp,
        host=(host.x, host.y, host.r_e, host.q, host.phi, dimmed),
        image=image,
        invvar=invvar,
    )
