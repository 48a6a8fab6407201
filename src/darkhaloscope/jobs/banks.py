"""`dhs bank`: templates of unit flux in one file."""

import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from darkhaloscope.config import BankCosmos, BankHybrid
from darkhaloscope.errors import DhsError
from darkhaloscope.io.bank import COLUMNS, read_bank, write_bank
from darkhaloscope.io.files import sha256
from darkhaloscope.jobs.progress import console, progress
from darkhaloscope.keys import balanced_split, generator
from darkhaloscope.sim.light import clumpiness, half_light_radius, hybrid_template
from darkhaloscope.sim.template import Template, clean
from darkhaloscope.survey.cosmos import RealGalaxies


@dataclass
class _Rows:
    """A bank as it grows."""

    images: list[np.ndarray] = field(default_factory=list)
    columns: dict[str, list] = field(default_factory=lambda: {name: [] for name in COLUMNS})

    def add(self, image: np.ndarray, **values) -> None:
        self.images.append(image.astype(np.float32))
        for name, value in values.items():
            self.columns[name].append(value)

    def write(self, out: Path, cfg: BankCosmos | BankHybrid, identity: dict) -> None:
        self.columns["split"] = balanced_split(
            self.columns["template_id"], cfg.split_fractions, f"bank-{cfg.seed}"
        )
        write_bank(
            out,
            np.stack(self.images),
            self.columns,
            pixel_scale=cfg.src_pixscale_arcsec,
            psf_fwhm=cfg.intrinsic_psf_fwhm_arcsec,
            identity=identity,
        )


def bank_hybrid(out: Path, cfg: BankHybrid) -> None:
    """Write a bank of Sersic discs with clumps; the same bank, if it is there, is kept."""
    identity = {"stage": "bank hybrid", "config": cfg.as_json()}
    if _is_there(out, identity):
        return
    rows = _Rows()
    with progress("bank", cfg.n_sources, "templates") as advance:
        for index in range(cfg.n_sources):
            name = f"hybrid-{index:06d}"
            image, fraction = hybrid_template(
                generator(name, str(cfg.seed), "hybrid"),
                size=cfg.stamp_size,
                pixel_scale=cfg.src_pixscale_arcsec,
                hlr_median=cfg.hlr_median_arcsec,
                hlr_scatter=cfg.hlr_scatter,
                clump_count_mean=cfg.clump_count_mean,
                clump_flux_fraction_max=cfg.clump_flux_fraction_max,
                psf_fwhm=cfg.intrinsic_psf_fwhm_arcsec,
            )
            rows.add(
                image,
                template_id=name,
                hlr_arcsec=half_light_radius(image, cfg.src_pixscale_arcsec),
                mag=math.nan,
                snr=math.inf,
                clumpiness=clumpiness(image),
                clumpiness_noise=0.0,
                clump_fraction=fraction,
            )
            advance(1)
    rows.write(out, cfg, identity)
    _summary(out, rows)


def bank_cosmos(out: Path, cosmos_dir: Path, cfg: BankCosmos) -> Counter:
    """Write a bank of real HST galaxies; returns how many were turned away, by reason.

    Raises DhsError for a bad catalogue, or if fewer survive than were asked for
    """
    galaxies = RealGalaxies(
        cosmos_dir,
        stamp_size=cfg.stamp_size,
        pixel_scale=cfg.src_pixscale_arcsec,
        psf_fwhm=cfg.intrinsic_psf_fwhm_arcsec,
    )
    identity = {
        "stage": "bank cosmos",
        "config": cfg.as_json(),
        "catalogue": sha256(galaxies.path),
    }
    if _is_there(out, identity):
        return Counter()
    rows, rejected = _Rows(), Counter()
    order = generator("bank", str(cfg.seed), "cosmos-order").permutation(len(galaxies))
    with progress("bank", len(galaxies), "galaxies") as advance:
        for index in order:
            if cfg.n_sources and len(rows.images) == cfg.n_sources:
                break
            _try_galaxy(galaxies, int(index), cfg, rows, rejected)
            advance(1)
    for reason, count in rejected.most_common():
        console.print(f"  {count} not kept: {reason}")
    if len(rows.images) < max(cfg.n_sources, 1):
        raise DhsError(
            f"{len(rows.images)} of {len(galaxies)} galaxies survive the cuts, "
            f"{max(cfg.n_sources, 1)} were asked for; lower --n-sources or widen the cuts"
        )
    rows.write(out, cfg, identity)
    _summary(out, rows)
    return rejected


def _try_galaxy(galaxies, index: int, cfg: BankCosmos, rows: _Rows, rejected: Counter) -> None:
    drawn = galaxies.draw(index)
    try:
        template = clean(
            drawn.image,
            pixel_scale=cfg.src_pixscale_arcsec,
            psf_fwhm=cfg.intrinsic_psf_fwhm_arcsec,
            noise_sigma=drawn.noise_sigma,
            noise_area=drawn.noise_area,
            data_size=drawn.data_size,
        )
    except ValueError as reason:
        rejected[str(reason)] += 1
        return
    if reason := _unfit(template, cfg):
        rejected[reason] += 1
        return
    rows.add(
        template.image,
        template_id=galaxies.ident(index),
        hlr_arcsec=template.hlr_arcsec,
        mag=galaxies.mag(index),
        snr=template.snr,
        clumpiness=template.clumpiness,
        clumpiness_noise=template.clumpiness_noise,
        clump_fraction=math.nan,
    )


def _unfit(template: Template, cfg: BankCosmos) -> str:
    """Why a clean template is not wanted; empty if it is."""
    if template.snr < cfg.min_snr:
        return f"S/N below {cfg.min_snr:g}"
    if not cfg.min_hlr_arcsec <= template.hlr_arcsec <= cfg.max_hlr_arcsec:
        return f"half-light radius outside {cfg.min_hlr_arcsec:g} to {cfg.max_hlr_arcsec:g} arcsec"
    if template.border_fraction > 0.01:
        return "more than 1% of the flux at the stamp's border"
    return ""


def _is_there(out: Path, identity: dict) -> bool:
    """Whether this very bank exists. Raises DhsError if another one, or something else, does."""
    if not out.exists():
        return False
    if read_bank(out).identity != identity:
        raise DhsError(f"{out} exists and is another bank; remove it or choose another name")
    console.print(f"bank {out}: already there")
    return True


def _summary(out: Path, rows: _Rows) -> None:
    hlr = np.percentile(rows.columns["hlr_arcsec"], [5, 50, 95])
    splits = Counter(rows.columns["split"])
    console.print(
        f"bank {out}: {len(rows.images)} templates "
        f"({', '.join(f'{splits[s]} {s}' for s in ('train', 'val', 'test'))}), "
        f"half-light radius 5/50/95% {hlr[0]:.2f}/{hlr[1]:.2f}/{hlr[2]:.2f} arcsec"
    )
