"""Named selections, and what each would keep of known lenses."""

import csv
from pathlib import Path

import galsim
import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.cosmology import Planck18
from scipy.special import gammainc
from speclite.filters import load_filter

import sweeps
from darkhaloscope.survey.sed import colour_grid
from darkhaloscope.survey.selections import MASSIVE_M_R, SELECTIONS, desi_lrg, massive, plan
from darkhaloscope.survey.tractor import flags_of
from darkhaloscope.units import flux_from_mag

SLACS = "slacs_auger2009_sonnenfeld_table.cat"


def columns(g, r, z, w1, fiber_z=21.0, **more):
    mags = {"flux_g": g, "flux_r": r, "flux_z": z, "flux_w1": w1, "fiberflux_z": fiber_z}
    fluxes = {k: np.atleast_1d(flux_from_mag(v)).astype(float) for k, v in mags.items()}
    n = len(fluxes["flux_g"])
    return fluxes | {"ebv": np.zeros(n)} | {k: np.full(n, v) for k, v in more.items()}


LRG = columns(22.3, 20.4, 19.2, 17.6)


def test_an_lrg_is_in_all():
    assert desi_lrg(LRG)[0] and plan(LRG)[0] and massive(LRG)[0]


@pytest.mark.parametrize(
    ("cut", "mags"),
    [
        ("z - W1 > 0.8 (r - z) - 0.6", (22.3, 20.4, 18.6, 17.8)),
        ("fiber z < 21.6", (22.3, 20.4, 19.2, 17.6, 21.7)),
        ("g - W1 > 2.9 or r - W1 > 1.8", (20.4, 19.3, 18.6, 17.6)),
        ("r - W1 > 1.8 (W1 - 17.14)", (24.0, 22.0, 20.5, 19.2)),
    ],
)
def test_desis_cuts(cut, mags):
    assert not desi_lrg(columns(*mags))[0], cut


def test_the_reddest_are_kept_however_faint():
    """r - W1 > 3.3 (Zhou et al. 2023)."""
    assert desi_lrg(columns(25.0, 23.0, 21.2, 19.6))[0]
    assert not desi_lrg(columns(25.0, 22.8, 21.2, 19.6))[0]


@pytest.mark.parametrize("spoilt", ["flux_ivar_r", "flux_ivar_w1", "nobs_z"])
def test_desis_quality_cuts(spoilt):
    assert desi_lrg(LRG | {spoilt: np.ones(1)})[0]
    assert not desi_lrg(LRG | {spoilt: np.zeros(1)})[0]


@pytest.mark.parametrize(("bit", "taken"), [(1, False), (11, True), (12, False), (13, False)])
def test_desi_leaves_out_what_lies_in_its_masks(bit, taken):
    """BRIGHT, GALAXY and CLUSTER, not MEDIUM: get_default_maskbits of desitarget."""
    assert desi_lrg(LRG | {"maskbits": np.array([1 << bit])})[0] == taken


def test_desi_leaves_out_gaia_stars_and_bright_fibers():
    assert not desi_lrg(LRG | {"gaia_phot_g_mean_mag": np.array([17.0])})[0]
    assert desi_lrg(LRG | {"gaia_phot_g_mean_mag": np.array([0.0])})[0]
    assert not desi_lrg(LRG | {"fibertotflux_z": flux_from_mag(np.array([17.0]))})[0]


@pytest.mark.parametrize(
    ("mags", "kept"),
    [
        ((22, 20.9, 20.39, 19.5), True),
        ((22, 21.0, 20.41, 19.5), False),
        ((22, 20.35, 20.0, 19.1), False),
        ((22, 20.9, 20.0, 19.3), False),
    ],
)
def test_the_plans_cuts(mags, kept):
    assert plan(columns(*mags))[0] == kept


def test_reddening_is_undone_by_desi_and_not_by_the_plan():
    dimmed = columns(22.3, 20.4, 19.2, 17.6)
    dimmed |= {
        f"mw_transmission_{b}": np.array([t]) for b, t in zip("grz", (0.7, 0.8, 0.9), strict=True)
    }
    dimmed["mw_transmission_w1"] = np.ones(1)
    assert massive(dimmed)[0] == massive(columns(22.3 - 0.387, 20.4 - 0.242, 19.2 - 0.114, 17.6))[0]
    assert plan(dimmed)[0] == plan(LRG)[0]


def test_massive_leaves_out_what_is_blue_or_faint():
    assert not massive(columns(20.5, 20.0, 19.7, 19.0))[0]  # a spiral's colours
    assert not massive(columns(20.0, 19.2, 18.5, 18.2))[0]  # a dwarf elliptical nearby
    assert not massive(columns(np.nan, 20.4, 19.2, 17.6))[0]


def test_every_row_of_the_plans_catalogues_passes_the_plans_cuts(real_data):
    n = 0
    for path in (real_data / "dr10_lrg").glob("*.parquet"):
        table = pq.read_table(path)
        fluxes = {f"flux_{b}": table[f"FLUX_{b.upper()}"].to_numpy() for b in ("g", "r", "z", "w1")}
        assert plan(fluxes).all()
        n += table.num_rows
    assert n == 8256


def slacs_as_catalogue(path: Path) -> dict[str, np.ndarray]:
    """SLACS lenses as an elliptical spectrum of their V luminosity would show them.

    V is taken as r + 0.32 (an elliptical at rest); beyond 2.2 micron the spectrum falls as
    lambda**-4; the fiber of 1.5 arcsec takes what a de Vaucouleurs galaxy has within 0.75 arcsec.
    """
    lines = [line.split() for line in path.read_text().splitlines() if line[0] != "#"]
    z = np.array([float(words[3]) for words in lines])
    m_r = np.array([float(words[15]) for words in lines]) - 0.32
    r_eff = np.array([float(words[5]) for words in lines])
    folder = Path(galsim.meta_data.share_dir) / "SEDs"
    wavelength, flux = np.loadtxt(folder / "CWW_E_ext_more.sed").T
    keep = wavelength < 22000
    tail = np.linspace(22000, 45000, 300)
    flux = np.r_[flux[keep], flux[keep][-1] * (tail / wavelength[keep][-1]) ** -4.0]
    wavelength = np.r_[wavelength[keep], tail]

    def mag(name, redshift):
        band = load_filter(name)
        seen = np.interp(band.wavelength, wavelength * (1 + redshift), flux)
        light = np.trapezoid(seen * band.response * band.wavelength, band.wavelength)
        return -2.5 * np.log10(
            light / np.trapezoid(band.response / band.wavelength, band.wavelength)
        )

    shift = m_r - mag("decam2014-r", 0.0) + Planck18.distmod(z).value
    mags = {
        band: shift + np.array([mag(name, one) for one in z])
        for band, name in zip(
            ("g", "r", "z", "w1"),
            ("decam2014-g", "decam2014-r", "decam2014-z", "wise2010-W1"),
            strict=True,
        )
    }
    share = np.array([_within(0.75, r) for r in r_eff])
    return columns(*mags.values(), mags["z"] - 2.5 * np.log10(share))


def _within(radius: float, r_eff: float) -> float:
    """Share of a de Vaucouleurs galaxy's light within a radius."""
    return float(gammainc(8, 7.669 * (radius / r_eff) ** 0.25))


def test_which_slacs_hosts_each_selection_keeps(real_data):
    """SLACS hosts are too near for DESI's and the plan's cuts; `massive` is made to keep them."""
    catalogue = slacs_as_catalogue(real_data / "lens_catalogues" / SLACS)
    kept = {name: int(s.mask(catalogue).sum()) for name, s in SELECTIONS.items()}
    assert len(catalogue["flux_g"]) == 59
    assert kept == {"massive": 59, "desi_lrg": 6, "plan": 0}  # the table in docs/parents.md


@pytest.mark.parametrize(("bluer", "scatter", "least"), [(0.0, 0.1, 0.98), (0.2, 0.2, 0.9)])
def test_massive_keeps_slacs_hosts_of_other_colours_too(real_data, bluer, scatter, least):
    """The track is of the very spectrum: real galaxies scatter about it, and may be bluer in g."""
    catalogue = slacs_as_catalogue(real_data / "lens_catalogues" / SLACS)
    kept = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        off = {b: rng.normal(0, scatter / 2**0.5, 59) for b in "grz"}
        off["g"] -= bluer
        changed = {f"flux_{b}": catalogue[f"flux_{b}"] * 10 ** (-0.4 * off[b]) for b in "grz"}
        kept.append(massive(catalogue | changed).mean())
    assert np.mean(kept) > least


def test_no_slacs_host_is_taken_for_a_star(real_data):
    """Nine of 59 are brighter than z 15.5."""
    catalogue = slacs_as_catalogue(real_data / "lens_catalogues" / SLACS)
    catalogue |= {"ra": np.full(59, 150.0), "type": np.full(59, "SER", object)}
    assert (catalogue["flux_z"] > 10 ** (0.4 * 7.0)).sum() == 9
    assert not flags_of(catalogue).any()


def vvds(path: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Galaxies with g, r, z of MegaCam, as if they were DECam's, and spectroscopic redshifts."""
    with path.open() as stream:
        rows = list(csv.DictReader(stream))
    mags = {b: np.array([float(row[f"MAG_AUTO_{b.upper()}"]) for row in rows]) for b in "grz"}
    redshift = np.array([float(row["ds_spectra.Z"]) for row in rows])
    seen = np.all([mags[b] > 10 for b in "grz"], axis=0) & (redshift > 0.01)
    return columns(*(mags[b][seen] for b in "grz"), 20.0), redshift[seen]


def test_massive_takes_luminous_galaxies_of_a_real_field(real_data):
    """VVDS-Deep, all galaxies to I = 24: few are taken, and these stand where lenses do."""
    field, redshift = vvds(real_data / "photometry" / "vvds_deep_veryreliable.csv")
    taken = massive(field)
    assert len(redshift) == 4823 and taken.sum() == 107
    low, middle, high = np.percentile(redshift[taken], [5, 50, 95])
    assert low > 0.15 and 0.45 < middle < 0.6 and high < 0.9
    grid, old = colour_grid(), np.full(taken.sum(), 3.0)
    distance = grid.distance_modulus(redshift[taken])
    z_mag = 22.5 - 2.5 * np.log10(field["flux_z"][taken])
    rest = grid.mag("r", old, np.zeros(107)) - grid.mag("z", old, redshift[taken])
    assert (z_mag - distance + rest < MASSIVE_M_R + 0.3).sum() == 105


def test_made_sweeps_are_taken_by_all():
    sweep = {k.lower(): v for k, v in sweeps.rows([150.0], [2.0]).items()}
    for name, selection in SELECTIONS.items():
        assert selection.needs <= set(sweep)
        assert selection.mask(sweep)[0], name
