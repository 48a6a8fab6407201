"""`dhs cutouts npz`: cutouts that someone saved, with all that is known of them."""

from pathlib import Path

import numpy as np

from darkhaloscope.config import CutoutsNpz
from darkhaloscope.errors import DhsError
from darkhaloscope.flags import FATAL, Flag, names
from darkhaloscope.io.parts import claim
from darkhaloscope.jobs.cutout_store import (
    cutout_row,
    is_fatal,
    write_part,
    write_record,
)
from darkhaloscope.jobs.versions import versions
from darkhaloscope.keys import digest_of
from darkhaloscope.sim import sky
from darkhaloscope.sim.inject import sky_sigma
from darkhaloscope.sim.measure import measure_host
from darkhaloscope.survey.npz import NpzCutout, find_cutouts, read_cutout
from darkhaloscope.survey.split import split_by_sky


def cutouts_npz(out: Path, source: Path, cfg: CutoutsNpz) -> None:
    """Write a store from .npz files; what was not given is assumed, and flagged as assumed.

    Raises DhsError if a file cannot be used, before anything is written
    """
    cutouts = [read_cutout(path) for path in find_cutouts(source)]
    if len({c.image.shape for c in cutouts}) > 1:
        sizes = ", ".join(sorted({str(c.image.shape[-1]) for c in cutouts}))
        raise DhsError(f"{source}: cutouts of several sizes ({sizes} pixels); import one at a time")
    rows = [_npz_row(cutout, cfg) for cutout in cutouts]
    bad = [row for row in rows if is_fatal(row)]
    if bad and cfg.bad_cutouts == "error":
        listing = "; ".join(f"{r['host_id']}: {names(r['host_flags'] & FATAL)}" for r in bad)
        raise DhsError(
            f"{len(bad)} of {len(rows)} cutouts cannot be used: {listing}; remove them, or keep "
            "them flagged with --bad-cutouts quarantine"
        )
    pixels = digest_of(*(row["image"] for row in rows), *(row["host_id"] for row in rows))
    identity = {"stage": "cutouts npz", "config": cfg.as_json(), "pixels": pixels}
    store = claim(out, identity | versions())
    write_part(store, 0, rows)
    write_record(store)


def _npz_row(cutout: NpzCutout, cfg: CutoutsNpz) -> dict:
    host = measure_host(cutout.image, cutout.pixel_scale)
    sigma = sky_sigma(np.nan_to_num(cutout.image))
    advice = Flag.ASSUMED_INVVAR
    advice |= Flag.ASSUMED_PSF if cfg.psf_fwhm_arcsec is None else Flag(0)
    advice |= Flag.ASSUMED_NEXP if cfg.nexp is None else Flag(0)
    with np.errstate(divide="ignore"):
        invvar = np.broadcast_to((1 / sigma**2)[:, None, None], cutout.image.shape)
    return cutout_row(
        host_id=cutout.name,
        ra_deg=cutout.ra_deg,
        dec_deg=cutout.dec_deg,
        brick=cutout.brick,
        telescope="decam",
        split=cfg.split or split_by_sky(cutout.ra_deg, cutout.dec_deg, (0.7, 0.15, 0.15), "sky-1"),
        ebv_mag=cfg.ebv_mag,
        psf_fwhm=np.array(cfg.psf_fwhm_arcsec or sky.MEDIAN_PSF_FWHM_ARCSEC),
        nexp=np.array(cfg.nexp or sky.MEDIAN_NEXP),
        host=(host.center_x, host.center_y, host.r_e, host.q, host.phi, host.mags),
        image=cutout.image,
        invvar=invvar.astype(np.float32),
        flags=advice,
    )
