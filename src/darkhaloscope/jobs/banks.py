"""`dhs bank`: templates of unit flux in one file, from several kinds of source."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from darkhaloscope.config import BankCosmos, BankHybrid, BankSersic, BankSurvey, Cuts
from darkhaloscope.io.files import sha256
from darkhaloscope.jobs.bank_parts import Candidates, Maker, Outcome, build, is_there, shuffled
from darkhaloscope.jobs.progress import console
from darkhaloscope.keys import digest_of, generator
from darkhaloscope.sim.hybrid import hybrid
from darkhaloscope.sim.light import clumpiness, half_light_radius, sersic, taper
from darkhaloscope.sim.strata import fair_order
from darkhaloscope.sim.template import Template, Unfit, clean, smooth_fit
from darkhaloscope.survey.cosmos import ZERO_POINT_MAG, DrawnGalaxy, RealGalaxies
from darkhaloscope.survey.deep import DeepGalaxy, find_galaxies, read_galaxy
from darkhaloscope.units import SIGMA_PER_FWHM, stamp_center

_COSMOS_COLUMNS = {"z": "z", "hlr_catalogue_arcsec": "hlr", "mag": "mag"} | {
    f"mag_{band}": f"mag_{band}" for band in "griz"
}


def bank_cosmos(out: Path, cosmos_dir: Path, cfg: BankCosmos, processes: int = 1) -> Counter:
    """Write a bank of real HST galaxies; returns how many were turned away, by reason.

    Raises DhsError for a bad catalogue, or if fewer survive than were asked for
    """
    maker = CosmosMaker(cosmos_dir, cfg)
    galaxies = maker.opened()
    identity = {
        "stage": "bank cosmos",
        "config": cfg.as_json(),
        "catalogue": sha256(galaxies.path),
    }
    if is_there(out, identity):
        return Counter()
    flagged = len(galaxies) - len(galaxies.usable)
    console.print(
        f"{galaxies.path.name}: {len(galaxies)} galaxies; judged by the catalogue's own flags: "
        f"{galaxies.excluded_by}"
    )
    strata = [galaxies.column(name)[galaxies.usable] for name in ("mag", "hlr", "z")]
    order = galaxies.usable[fair_order(strata, shuffled(len(galaxies.usable), cfg.seed))]
    files = np.unique(galaxies.file_of(np.arange(len(galaxies))), return_inverse=True)[1]
    return build(
        out,
        maker,
        Candidates(order, files, cfg.n_sources),
        cfg,
        source="cosmos",
        identity=identity,
        processes=processes,
        excluded={f"the catalogue's flags ({galaxies.excluded_by})": flagged} if flagged else None,
    )


@dataclass(frozen=True)
class CosmosMaker:
    """Galaxies of a RealGalaxyCatalog, each drawn and cut out of its noise."""

    directory: Path
    cfg: BankCosmos

    def opened(self, exclusion_level: str | None = None) -> RealGalaxies:
        cfg = self.cfg
        return RealGalaxies(
            self.directory,
            stamp_size=cfg.stamp_size,
            pixel_scale=cfg.src_pixscale_arcsec,
            psf_fwhm=cfg.intrinsic_psf_fwhm_arcsec,
            exclusion_level=cfg.exclusion_level if exclusion_level is None else exclusion_level,
            sample=cfg.sample,
        )

    def make(self, numbers: Sequence[int]) -> Iterator[Outcome]:
        galaxies = _kept_open(self)
        try:
            for number in numbers:
                yield self._outcome(galaxies, number)
        finally:
            galaxies.close()  # GalSim keeps every image it has read

    def _outcome(self, galaxies: RealGalaxies, number: int) -> Outcome:
        name = galaxies.ident(number)
        known = {to: float(galaxies.column(c)[number]) for to, c in _COSMOS_COLUMNS.items()}
        if not galaxies.has_noise(number):
            return Outcome(name, None, {"mag": known["mag"]}, "bad stamp")
        drawn = galaxies.draw(number)
        if reason := galaxies.unfit(drawn):
            return Outcome(name, None, {"mag": known["mag"]}, reason, drawn.image)
        return cut_out(name, drawn, known, ZERO_POINT_MAG, self.cfg)


@lru_cache(maxsize=1)
def _kept_open(maker: CosmosMaker) -> RealGalaxies:
    """The catalogue, once a process; which galaxies are tried was settled before."""
    return maker.opened("none")


def cut_out(
    name: str,
    drawn: DrawnGalaxy | DeepGalaxy,
    known: dict[str, float],
    zero_point: float,
    cfg: BankCosmos | BankSurvey,
) -> Outcome:
    """The galaxy as a template, or why it is not one.

    known : columns from the catalogue, `mag` among them; zero_point : AB magnitude of flux 1
    """
    try:
        template = clean(
            drawn.image,
            pixel_scale=cfg.src_pixscale_arcsec,
            psf_fwhm=cfg.intrinsic_psf_fwhm_arcsec,
            noise=drawn.noise,
            data_size=drawn.data_size,
            labels=drawn.labels,
        )
    except Unfit as reason:
        return Outcome(name, None, {"mag": known["mag"]}, str(reason), drawn.image)
    measured = measurements(template, zero_point)
    if reason := unwanted(template, known["mag"] - measured["mag_measured"], cfg):
        kept = ("snr", "hlr_arcsec", "clumpiness", "clumpiness_null")
        columns = {"mag": known["mag"]} | {key: measured[key] for key in kept}
        return Outcome(name, None, columns, reason, drawn.image)
    return Outcome(name, template.image, known | measured)


def measurements(template: Template, zero_point: float) -> dict[str, float]:
    """Columns of the bank that cutting out gives."""
    return {
        "mag_measured": zero_point - 2.5 * math.log10(template.flux),
        "hlr_arcsec": template.hlr_arcsec,
        "snr": template.snr,
        "clumpiness": template.clumpiness,
        "clumpiness_null": template.clumpiness_null,
        "pedestal_fraction": template.pedestal_fraction,
        "masked_fraction": template.masked_fraction,
        "border_sigma": template.border_sigma,
        "clump_fraction": template.clump_fraction,
    }


def unwanted(template: Template, mag_difference: float, cfg: Cuts) -> str:
    """Why a clean template is not wanted; empty if it is."""
    if template.snr < cfg.min_snr:
        return f"S/N below {cfg.min_snr:g}"
    if not cfg.min_hlr_arcsec <= template.hlr_arcsec <= cfg.max_hlr_arcsec:
        return f"half-light radius outside {cfg.min_hlr_arcsec:g} to {cfg.max_hlr_arcsec:g} arcsec"
    if abs(template.pedestal_fraction) > cfg.max_pedestal_fraction:
        return f"pedestal above {cfg.max_pedestal_fraction:g} of the flux"
    if abs(mag_difference) > cfg.max_mag_difference:
        return f"flux unlike the catalogue's by {cfg.max_mag_difference:g} mag"
    return ""


def bank_survey(out: Path, images: Path, cfg: BankSurvey, processes: int = 1) -> Counter:
    """Write a bank of galaxies of deep ground images, see survey.deep for the files.

    Returns how many were turned away, by reason. Raises DhsError for files that cannot be used,
    or if fewer survive than were asked for
    """
    paths = find_galaxies(images)
    identity = {
        "stage": "bank survey",
        "config": cfg.as_json(),
        "images": digest_of(*(f"{path.name} {sha256(path)}" for path in paths)),
    }
    order = np.argsort(shuffled(len(paths), cfg.seed))
    return build(
        out,
        SurveyMaker(tuple(paths), cfg),
        Candidates(order, np.arange(len(paths)), cfg.n_sources),
        cfg,
        source="survey",
        identity=identity,
        processes=processes,
    )


@dataclass(frozen=True)
class SurveyMaker:
    """Galaxies of deep ground images, each given with its PSF."""

    paths: tuple[Path, ...]
    cfg: BankSurvey

    def make(self, numbers: Sequence[int]) -> Iterator[Outcome]:
        for number in numbers:
            drawn = read_galaxy(
                self.paths[number],
                stamp_size=self.cfg.stamp_size,
                pixel_scale=self.cfg.src_pixscale_arcsec,
                psf_fwhm=self.cfg.intrinsic_psf_fwhm_arcsec,
            )
            known = drawn.known | {"mag": drawn.known["mag_i"]}
            yield cut_out(drawn.name, drawn, known, drawn.zero_point, self.cfg)


def bank_hybrid(out: Path, cfg: BankHybrid, processes: int = 1) -> None:
    """Write a bank of Sersic discs with clumps; the same bank, if it is there, is kept."""
    _build_made(out, HybridMaker(cfg), cfg, "hybrid", processes)


def bank_sersic(out: Path, cfg: BankSersic, processes: int = 1) -> None:
    """Write a bank of smooth Sersic galaxies; the same bank, if it is there, is kept."""
    _build_made(out, SersicMaker(cfg), cfg, "sersic", processes)


def _build_made(
    out: Path, maker: Maker, cfg: BankHybrid | BankSersic, source: str, processes: int
) -> None:
    every = np.arange(cfg.n_sources)
    build(
        out,
        maker,
        Candidates(every, np.zeros(len(every), int), 0, "templates"),
        cfg,
        source=source,
        identity={"stage": f"bank {source}", "config": cfg.as_json()},
        processes=processes,
    )


@dataclass(frozen=True)
class HybridMaker:
    """Smooth inclined discs with bulge, clumps, and arms in some."""

    cfg: BankHybrid

    def make(self, numbers: Sequence[int]) -> Iterator[Outcome]:
        cfg = self.cfg
        for number in numbers:
            name = f"hybrid-{cfg.seed}-{number:06d}"
            made = hybrid(
                generator(name, str(cfg.seed), "hybrid"),
                size=cfg.stamp_size,
                pixel_scale=cfg.src_pixscale_arcsec,
                hlr_median=cfg.hlr_median_arcsec,
                hlr_scatter=cfg.hlr_scatter,
                clump_count_mean=cfg.clump_count_mean,
                clump_flux_fraction_max=cfg.clump_flux_fraction_max,
                clump_sigma=cfg.clump_sigma_arcsec,
                clump_reach=cfg.clump_reach_hlr,
                arm_probability=cfg.arm_probability,
                arm_strength_max=cfg.arm_strength_max,
                psf_fwhm=cfg.intrinsic_psf_fwhm_arcsec,
            )
            columns = made_columns(made.image, cfg) | {"clump_fraction": made.clump_fraction}
            if cfg.bulge_colours:
                columns["bulge_fraction"] = made.bulge_fraction
            bulge = made.bulge if cfg.bulge_colours else None
            yield Outcome(name, made.image, columns, bulge=bulge)


@dataclass(frozen=True)
class SersicMaker:
    """Sersic profiles behind the bank's PSF."""

    cfg: BankSersic

    def make(self, numbers: Sequence[int]) -> Iterator[Outcome]:
        cfg = self.cfg
        size, scale = cfg.stamp_size, cfg.src_pixscale_arcsec
        y, x = (np.indices((size, size)) - stamp_center(size)) * scale
        for number in numbers:
            name = f"sersic-{cfg.seed}-{number:06d}"
            rng = generator(name, str(cfg.seed), "sersic")
            radius = cfg.hlr_median_arcsec * math.exp(cfg.hlr_scatter * rng.standard_normal())
            light = sersic(
                x,
                y,
                r_e=min(radius, 0.15 * size * scale),
                n=rng.uniform(cfg.index_min, cfg.index_max),
                q=rng.uniform(cfg.q_min, 1.0),
                phi=rng.uniform(0, math.pi),
                softening=scale / 2,
            )
            width = SIGMA_PER_FWHM * cfg.intrinsic_psf_fwhm_arcsec / scale
            image = gaussian_filter(light, width) * taper(size)
            image /= image.sum()
            yield Outcome(name, image, made_columns(image, cfg) | {"clump_fraction": 0.0})


def made_columns(image: np.ndarray, cfg: BankHybrid | BankSersic) -> dict[str, float]:
    """What is measured on a template without noise."""
    smooth = smooth_fit(image, image > 0.01 * image.max(), image > 0)
    return {
        "hlr_arcsec": half_light_radius(image, cfg.src_pixscale_arcsec),
        "clumpiness": clumpiness(image),
        "clumpiness_null": clumpiness(smooth),
    }
