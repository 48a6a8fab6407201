"""What cutting galaxies out of HST's noise recovers: `make recovery`.

Clumpy galaxies of known flux, size and clump fraction are put behind an ACS-like PSF and into
noise with the correlation of the COSMOS images, at F814W 21 to 25, written as a catalogue in
GalSim's form, and cut out by the very code that builds a bank.
"""

import argparse
import math
import tempfile
from itertools import pairwise
from pathlib import Path

import galsim
import numpy as np
from astropy.io import fits
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter

from catalogue import PSF_FWHM, SCALE, ZERO_POINT, write_catalogue
from darkhaloscope.config import BankCosmos
from darkhaloscope.jobs.banks import CosmosMaker
from darkhaloscope.keys import generator
from darkhaloscope.report.canvas import INK, REFERENCE_COLOUR, SET_COLOUR, png_bytes
from darkhaloscope.sim.hybrid import hybrid_template
from darkhaloscope.sim.light import half_light_radius
from darkhaloscope.units import SIGMA_PER_FWHM

DOCS = Path(__file__).resolve().parents[1] / "docs"
MAGS = np.arange(21.0, 25.01, 0.5)
SIZE = 160
NOISE_VARIANCE = 4.3e-6  # (count/s)**2 of a pixel, the median of the COSMOS example
BANK_FWHM = 0.15
CORRELATION = Path(galsim.meta_data.share_dir) / "acs_I_unrot_sci_20_cf.fits"


def correlated_noise(rng: np.random.Generator, size: int) -> np.ndarray:
    """Noise with the correlation that GalSim ships for the COSMOS images, count/s."""
    small = fits.getdata(CORRELATION).astype(float)
    half = small.shape[0] // 2
    full = np.zeros((size, size))
    for dy in range(-half, half + 1):
        for dx in range(-half, half + 1):
            full[dy % size, dx % size] = small[dy + half, dx + half]
    power = np.clip(np.fft.fft2(full).real, 0, None)
    drawn = np.fft.ifft2(np.fft.fft2(rng.standard_normal((size, size))) * np.sqrt(power)).real
    return drawn * math.sqrt(NOISE_VARIANCE) / drawn.std()


def galaxy(name: str) -> tuple[np.ndarray, float, float]:
    """A clumpy galaxy of unit flux behind ACS's PSF; its half-light radius behind the bank's."""
    settings = {"size": SIZE, "pixel_scale": SCALE, "hlr_scatter": 0.35, "clump_count_mean": 7.0}
    image, fraction = hybrid_template(
        generator(name), hlr_median=0.3, clump_flux_fraction_max=0.5, psf_fwhm=0.03, **settings
    )

    def behind(fwhm):
        return gaussian_filter(image, SIGMA_PER_FWHM * math.sqrt(fwhm**2 - 0.03**2) / SCALE)

    return behind(PSF_FWHM), half_light_radius(behind(BANK_FWHM), SCALE), fraction


def run(each: int) -> dict[str, np.ndarray]:
    """Truth and measurement of `each` galaxies a magnitude; NaN where none was cut out."""
    stamps, truth = {}, []
    for mag in MAGS:
        for i in range(each):
            name = f"recovery-{mag:.1f}-{i}"
            image, hlr, fraction = galaxy(name)
            light = image * 10 ** (-0.4 * (mag - ZERO_POINT))
            rng = generator(name, purpose="noise")
            photons = rng.normal(0, np.sqrt(np.clip(light, 0, None) / 2028.0))
            stamps[name] = light + photons + correlated_noise(rng, SIZE)
            truth.append((mag, hlr, fraction))
    cfg = BankCosmos(min_snr=0, exclusion_level="none", stamp_size=SIZE, max_hlr_arcsec=10)
    names = ("mag_measured", "hlr_arcsec", "clump_fraction", "snr", "clumpiness", "clumpiness_null")
    with tempfile.TemporaryDirectory() as folder:
        mags = np.array([t[0] for t in truth])
        path = write_catalogue(
            Path(folder), stamps, MAG=mags, NOISE_VARIANCE=np.full(len(mags), NOISE_VARIANCE),
            NOISE_FILENAME=[str(CORRELATION)] * len(mags),
        )  # fmt: skip
        rows = [
            [outcome.columns.get(name, math.nan) if outcome.image is not None else math.nan
             for name in names]
            for outcome in CosmosMaker(path, cfg).make(range(len(mags)))
        ]  # fmt: skip
    true = dict(zip(("mag", "hlr", "fraction"), np.array(truth).T, strict=True))
    return true | dict(zip(names, np.array(rows).T, strict=True))


def table(found: dict[str, np.ndarray]) -> str:
    """Bias (median) and scatter (16 to 84%, halved) by magnitude, as Markdown."""
    lines = [
        "| F814W | cut out | S/N | flux, mag | half-light radius | clump fraction | above null |",
        "|---|---|---|---|---|---|---|",
    ]
    for mag in MAGS:
        row = found["mag"] == mag
        ok = row & np.isfinite(found["snr"])
        if not ok.any():
            continue
        off = (
            found["mag_measured"][ok] - mag,
            found["hlr_arcsec"][ok] / found["hlr"][ok] - 1,
            found["clump_fraction"][ok] - found["fraction"][ok],
            (found["clumpiness"] - found["clumpiness_null"])[ok],
        )
        q = [np.quantile(o, (0.16, 0.5, 0.84)) for o in off]
        cells = [f"{m[1]:+.3f} ± {(m[2] - m[0]) / 2:.3f}" for m in q]
        lines.append(
            f"| {mag:.1f} | {ok.sum() / row.sum():.0%} | {np.median(found['snr'][ok]):.0f} | "
            + " | ".join(cells) + " |"
        )  # fmt: skip
    return "\n".join(lines)


def figure(found: dict[str, np.ndarray], cut: float) -> bytes:
    """Bias and scatter of each against magnitude, and against S/N with the default cut."""
    panels = (
        ("measured − true (mag)", found["mag_measured"] - found["mag"], 0.0),
        ("half-light radius, measured / true", found["hlr_arcsec"] / found["hlr"], 1.0),
        ("clump fraction, measured − true", found["clump_fraction"] - found["fraction"], 0.0),
    )
    by_mag = (found["mag"], np.append(MAGS - 0.25, MAGS[-1] + 0.25), "F814W (AB mag)")
    top = float(np.nanmax(found["snr"]))
    by_snr = (found["snr"], np.geomspace(5, top, 9), "S/N within the mask")
    picture = Figure((10.5, 6.4), dpi=150, facecolor="white", layout="constrained")
    for row, (x, edges, label) in zip(picture.subplots(2, 3), (by_mag, by_snr), strict=True):
        for axes, (name, values, ideal) in zip(row, panels, strict=True):
            _panel(axes, x, values, edges, ideal)
            axes.set_xlabel(label, color=INK)
            axes.set_ylabel(name, color=INK)
            if x is found["snr"]:
                axes.set_xscale("log")
                axes.axvline(cut, color=REFERENCE_COLOUR, lw=1.2)
    return png_bytes(picture)


def _panel(axes, x, values, edges, ideal: float) -> None:
    """Points, with median and 16 to 84% of each bin."""
    ok = np.isfinite(values) & np.isfinite(x)
    jitter = generator("recovery", purpose="jitter").uniform(-0.12, 0.12, len(x))
    spread = jitter if (np.diff(edges) < 1).all() else 0.0
    axes.plot((x + spread)[ok], values[ok], "o", ms=2.2, mew=0, alpha=0.35, color=SET_COLOUR)
    for low, high in pairwise(edges):
        inside = ok & (x >= low) & (x < high)
        if inside.sum() > 4:
            q = np.quantile(values[inside], (0.16, 0.5, 0.84))
            middle = float(np.median(x[inside]))
            axes.plot([middle] * 2, q[[0, 2]], color=INK, lw=1.6)
            axes.plot(middle, q[1], "s", color=INK, ms=4)
    axes.axhline(ideal, color=INK, lw=0.8, ls=(0, (2, 3)))
    span = np.quantile(values[ok], (0.02, 0.98))
    axes.set_ylim(span[0] - 0.05, span[1] + 0.05)
    axes.spines[["top", "right"]].set_visible(False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=60, help="galaxies a magnitude")
    parser.add_argument("--write", action="store_true", help="figure and table into docs")
    args = parser.parse_args()
    found = run(args.each)
    said = table(found)
    print(said)
    for low, high in ((5, 10), (10, 15), (15, 20), (20, 25), (25, 35), (35, 60), (60, 1000)):
        ok = (found["snr"] >= low) & (found["snr"] < high)
        if ok.sum() > 4:
            off = found["mag_measured"][ok] - found["mag"][ok]
            size = found["hlr_arcsec"][ok] / found["hlr"][ok]
            null = found["clumpiness_null"][ok] / found["clumpiness"][ok]
            print(f"S/N {low}-{high}: n {ok.sum()}, mag {np.median(off):+.3f} ± {np.std(off):.3f}, "
                  f"HLR {np.median(size):.3f} ± {np.std(size):.3f}, "
                  f"null / clumpiness {np.median(null):.2f}")  # fmt: skip
    if args.write:
        (DOCS / "figures" / "recovery.png").write_bytes(figure(found, BankCosmos().min_snr))
        page = DOCS / "banks.md"
        begin, end = "<!-- recovery -->", "<!-- end recovery -->"
        text = page.read_text(encoding="utf-8")
        before, _, rest = text.partition(begin)
        page.write_text(before + begin + "\n\n" + said + "\n\n" + end + rest.partition(end)[2])


if __name__ == "__main__":
    main()
