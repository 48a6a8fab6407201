"""`dhs cutouts synthetic`: a made sky, written as the survey's cutouts are."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from darkhaloscope.config import CutoutsSynthetic
from darkhaloscope.io.parts import PartStore, claim
from darkhaloscope.jobs.cutout_store import cutout_row, write_part, write_record
from darkhaloscope.jobs.pool import each
from darkhaloscope.jobs.progress import progress
from darkhaloscope.jobs.versions import versions
from darkhaloscope.keys import generator
from darkhaloscope.sim import field, flaws, sky
from darkhaloscope.sim.hosts import draw_host
from darkhaloscope.sim.lookalikes import LookAlike, draw_look_alike
from darkhaloscope.sim.paint import MARGIN_PIX, no_stars, paint
from darkhaloscope.survey.split import split_by_sky
from darkhaloscope.units import BANDS, PIXEL_SCALE_ARCSEC, flux_from_mag, mag_from_flux

_HOSTS_PER_PART = 240


def cutouts_synthetic(out: Path, cfg: CutoutsSynthetic, processes: int) -> None:
    """Write a store of made cutouts, luminous galaxies first; parts that exist are kept."""
    store = claim(out, {"stage": "cutouts synthetic", "config": cfg.as_json(), **versions()})
    n_parts = math.ceil((cfg.n_hosts + cfg.n_look_alikes) / _HOSTS_PER_PART)
    todo = [(store, cfg, part) for part in range(n_parts) if not store.is_done(part)]
    with progress("cutouts", sum(len(_hosts(cfg, part)) for _, _, part in todo), "hosts") as done:
        for count in each(_part, todo, processes):
            done(count)
    write_record(store)


def _hosts(cfg: CutoutsSynthetic, part: int) -> range:
    total = cfg.n_hosts + cfg.n_look_alikes
    return range(part * _HOSTS_PER_PART, min((part + 1) * _HOSTS_PER_PART, total))


def _part(task: tuple[PartStore, CutoutsSynthetic, int]) -> int:
    store, cfg, part = task
    rows = [synthetic_row(cfg, *_name(cfg, index)) for index in _hosts(cfg, part)]
    write_part(store, part, rows)
    return len(rows)


def _name(cfg: CutoutsSynthetic, index: int) -> tuple[str, str]:
    """host_id and host_kind; more of one kind leave the others as they are."""
    if index < cfg.n_hosts:
        return f"syn{cfg.seed}-{index:07d}", "luminous"
    turn, which = divmod(index - cfg.n_hosts, len(cfg.look_alike_kinds))
    kind = cfg.look_alike_kinds[which]
    return f"syn{cfg.seed}-{kind}-{turn:07d}", kind


def synthetic_row(cfg: CutoutsSynthetic, host_id: str, kind: str) -> dict:
    """One cutout as a row of schema.CUTOUTS; every number is keyed by the host's name."""
    rng = generator(host_id, str(cfg.seed), "sky")
    ra = rng.uniform(0, 360)
    dec = math.degrees(math.asin(rng.uniform(math.sin(math.radians(-60)), 0.5)))  # to Dec +30
    seen = sky.draw_conditions(rng)
    centre = _centre(kind, rng, seen.ebv)
    image, invvar, bits = _observe(cfg, host_id, centre, seen)
    if rng.random() < cfg.missing_band_rate:
        seen = _lose_band(rng, seen, image, invvar)
    host = centre.galaxies[:1]
    dimmed = _total_mags(centre, kind) + sky.extinction(seen.ebv)
    shape = (host.x[0], host.y[0], host.r_e[0], host.q[0], host.phi[0])
    return cutout_row(
        host_id=host_id,
        host_kind=kind,
        ra_deg=ra,
        dec_deg=dec,
        brick="synthetic",
        telescope="synthetic",
        split=split_by_sky(ra, dec, cfg.split_fractions, f"sky-{cfg.seed}"),
        ebv_mag=seen.ebv,
        psf_fwhm=seen.psf_fwhm,
        psf_e1=seen.psf_e[:, 0],
        psf_e2=seen.psf_e[:, 1],
        psf_depth=seen.depth,
        nexp=seen.nexp,
        host=(*map(float, shape), dimmed),
        image=image,
        invvar=invvar,
        maskbits=bits,
    )


def _centre(kind: str, rng: np.random.Generator, ebv: float) -> LookAlike:
    if kind == "luminous":
        return LookAlike(draw_host(rng, ebv), no_stars())
    return draw_look_alike(kind, rng, ebv)


def _total_mags(centre: LookAlike, kind: str) -> np.ndarray:
    """Of the host; of all its parts where they are one galaxy."""
    parts = centre.galaxies if kind in ("ring", "spiral", "edge_on") else centre.galaxies[:1]
    return mag_from_flux(flux_from_mag(parts.mags).sum(axis=0))


def _observe(
    cfg: CutoutsSynthetic, host_id: str, centre: LookAlike, seen: sky.Conditions
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image and invvar (band, y, x), maskbits (y, x) of what stands at the centre and around."""
    rng = generator(host_id, str(cfg.seed), "field")
    half_side = (cfg.size_pix / 2 + MARGIN_PIX) * PIXEL_SCALE_ARCSEC
    galaxies = centre.galaxies + field.draw_galaxies(rng, half_side, cfg.neighbours_per_arcmin2)
    galaxies += field.draw_satellites(rng, centre.galaxies[:1], cfg.satellites_per_host)
    stars = field.draw_stars(rng, half_side, cfg.stars_per_arcmin2, seen.ebv)
    stars += centre.stars
    bright = flaws.bright_stars(stars)
    light = paint(galaxies, stars[~bright], seen, cfg.size_pix)
    if bright.any():
        light += flaws.star_glare(stars[bright], seen, cfg.size_pix)
    if centre.ghost is not None:
        light += flaws.ghost(rng, cfg.size_pix, centre.ghost).astype(np.float32)
    noise = generator(host_id, str(cfg.seed), "noise")
    image, invvar = sky.expose(noise, light, seen, cfg.noise_lag1)
    bits = flaws.mask_stars(stars, light)
    flaws.saturate(image, invvar, bits)
    if noise.random() < cfg.mask_rate:
        flaws.bad_line(noise, image, invvar, bits)
    return image, invvar, bits


def _lose_band(
    rng: np.random.Generator, seen: sky.Conditions, image: np.ndarray, invvar: np.ndarray
) -> sky.Conditions:
    """A band that was never taken: empty pixels, no PSF, no exposures."""
    band = int(rng.integers(len(BANDS)))
    image[band], invvar[band] = 0, 0
    there = np.arange(len(BANDS)) != band
    return replace(
        seen,
        psf_fwhm=np.where(there, seen.psf_fwhm, 0.0),
        depth=np.where(there, seen.depth, np.nan),
        nexp=np.where(there, seen.nexp, 0),
    )
