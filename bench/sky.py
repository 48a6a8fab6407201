"""The synthetic sky against the real one, and what it costs: `make sky`.

Real are the public DR10 cutouts, LRG rows and sky regions of $DHS_REAL_DATA (else ../shared/data);
no picture of them is kept. `--write` puts table and figures into docs/.
"""

import argparse
import csv
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import sep
import torch
from matplotlib.figure import Figure
from scipy.stats import ks_2samp, spearmanr
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from darkhaloscope.config import CutoutsSynthetic
from darkhaloscope.evaluate.stats import Estimate, auc
from darkhaloscope.io.parts import parts_in
from darkhaloscope.io.tables import columns_of, image_from, read_table
from darkhaloscope.jobs.synthetic import cutouts_synthetic, synthetic_row
from darkhaloscope.keys import generator
from darkhaloscope.report.canvas import INK, REFERENCE_COLOUR, SET_COLOUR, png_bytes
from darkhaloscope.report.colour import rgb
from darkhaloscope.schema import BLOBS, CUTOUTS, HOST_KINDS
from darkhaloscope.sim.field import draw_galaxies
from darkhaloscope.sim.hosts import draw_host
from darkhaloscope.sim.inject import sky_sigma
from darkhaloscope.sim.measure import measure_host
from darkhaloscope.survey.npz import find_cutouts, read_cutout
from darkhaloscope.units import BANDS, EXTINCTION_PER_EBV, PIXEL_SCALE_ARCSEC, mag_from_flux

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = DOCS / "sky.md"
MIXED = DOCS.parent / "build" / "sky_mixed.png"
SHEET = 24
BEGIN, END = "<!-- made by make sky -->", "<!-- end -->"
CUTOUT_SIZE = 101  # of the real ones
QUANTILES = (5, 16, 50, 84, 95)


def real_data() -> Path:
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("DHS_REAL_DATA", default))


# -- what is compared ---------------------------------------------------------------------------


def real_regions(folder: Path) -> dict[str, np.ndarray]:
    """Median seeing, depth and dust of sky regions."""
    rows = _regions(folder)
    names = {
        "psfsize_r": "median_psf_r_arcsec",
        "psfdepth_r": "median_psfdepth_r",
        "E(B-V)": "median_ebv",
    }
    return {name: np.array([float(row[key]) for row in rows]) for name, key in names.items()}


def real_hosts(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Magnitudes as seen (band, host) and E(B-V) of LRG parents.

    Point sources and z < 17 are no galaxies but the bright stars that the rows are known to hold
    """
    path = folder / "dr10_lrg" / "phase3_lrg_parent_catalog_area_weighted_v3.parquet"
    table = columns_of(pq.read_table(path))
    mags = np.array([mag_from_flux(table[f"FLUX_{b}"]) for b in "GRZ"])
    kept = np.isfinite(mags).all(axis=0) & (mags[2] > 17) & (table["TYPE"].astype(str) != "PSF")
    dust = {int(row["region_id"]): float(row["median_ebv"]) for row in _regions(folder)}
    return mags[:, kept], np.array([dust[int(region)] for region in table["region_id"][kept]])


def made_hosts(ebv: np.ndarray) -> np.ndarray:
    """As many hosts as there are real ones, each behind a real one's dust: (band, host) as seen."""
    drawn = [draw_host(generator(f"host-{i}"), e).mags[0] for i, e in enumerate(ebv)]
    return np.array(drawn).T + np.outer(list(EXTINCTION_PER_EBV.values()), ebv)


def colours(mags: np.ndarray) -> dict[str, np.ndarray]:
    g, r, z = mags
    return {"host r": r, "host g-r": g - r, "host r-z": r - z}


def _regions(folder: Path) -> list[dict[str, str]]:
    with open(folder / "dr10_lrg" / "phase2_regions_summary.csv", newline="") as file:
        return list(csv.DictReader(file))


def made_columns(store: Path) -> dict[str, np.ndarray]:
    names = [c.name for c in CUTOUTS if c.name not in BLOBS]
    tables = [columns_of(read_table(path, CUTOUTS, names)) for path in parts_in(store)]
    return {name: np.concatenate([t[name] for t in tables]) for name in names}


def made_images(store: Path) -> list[np.ndarray]:
    return [
        image_from(data, int(size))
        for path in parts_in(store)
        for data, size in zip(
            *columns_of(read_table(path, CUTOUTS, ["image", "size_pix"])).values(), strict=True
        )
    ]


def of_pixels(image: np.ndarray) -> dict[str, float]:
    """What one cutout tells without a catalogue; image (band, y, x), nmgy."""
    sigma, level = sky_sigma(image), np.median(image, axis=(1, 2))
    host = measure_host(image, PIXEL_SCALE_ARCSEC)
    found = detected(image[1] - level[1], sigma[1])
    told = {f"sky sigma {b}": s for b, s in zip(BANDS, sigma, strict=True)}
    told |= {f"sky level {b}": v for b, v in zip(BANDS, level, strict=True)}
    told |= {f"lag-1 {b}": lag1(image, band) for band, b in enumerate(BANDS)}
    g, r, z = host.mags
    return told | {
        "aperture r": float(r),
        "aperture g-r": float(g - r),
        "aperture r-z": float(r - z),
        "r_e seen": host.r_e,
        "objects": float(len(found)),
        "objects r < 23": float((found < 23).sum()),
    }


def detected(light: np.ndarray, sigma: float) -> np.ndarray:
    """r magnitudes of what stands out: 1.5 sigma in five joined pixels."""
    objects = sep.extract(np.ascontiguousarray(light, float), 1.5, err=float(sigma), minarea=5)
    return mag_from_flux(objects["flux"])


def lag1(image: np.ndarray, band: int) -> float:
    """Correlation of adjacent sky pixels, both axes; lit pixels are left out."""
    level, sigma = np.median(image, axis=(1, 2)), sky_sigma(image)
    sky = (np.abs(image - level[:, None, None]) < 2.5 * sigma[:, None, None]).all(axis=0)
    dark = np.where(sky, image[band] - image[band][sky].mean(), np.nan)
    pairs = [dark[:, 1:] * dark[:, :-1], dark[1:] * dark[:-1]]
    return float(np.mean([np.nanmean(p) for p in pairs]) / np.nanvar(dark))


@dataclass(frozen=True)
class Comparison:
    """One quantity of both skies, and how far apart the two samples are."""

    name: str
    real: np.ndarray
    made: np.ndarray

    @property
    def distance(self) -> float:
        return float(ks_2samp(self.real, self.made).statistic)

    @property
    def by_chance(self) -> float:
        """95 % of samples of these sizes from one sky are nearer than this."""
        m, n = len(self.real), len(self.made)
        return 1.358 * ((m + n) / (m * n)) ** 0.5

    def line(self) -> str:
        if len(self.real) < 20:
            real = ", ".join(f"{value:.3g}" for value in self.real)
        else:
            real = _quantiles(self.real)
        return (
            f"| {self.name} | {len(self.real)}, {len(self.made)} | {real} | "
            f"{_quantiles(self.made)} | {self.distance:.3f} ({min(self.by_chance, 1):.3f}) |"
        )


def _quantiles(values: np.ndarray) -> str:
    return " / ".join(f"{v:.3g}" for v in np.percentile(values, QUANTILES))


def comparisons(folder: Path, columns, images: list[np.ndarray]) -> list[Comparison]:
    """Catalogue quantities of a store's columns, pixel quantities of cutouts of the real size."""
    made = {
        "psfsize_r": columns["psf_fwhm_r_arcsec"],
        "psfdepth_r": columns["psf_depth_r_mag"],
        "E(B-V)": columns["ebv_mag"],
    }
    mags, dust = real_hosts(folder)
    real = real_regions(folder) | colours(mags)
    made |= colours(made_hosts(dust))
    of_real, of_made = pixel_tables(folder, images)
    real |= of_real
    made |= of_made
    return [Comparison(name, real[name], made[name]) for name in real]


def pixel_tables(folder: Path, images) -> tuple[dict[str, np.ndarray], ...]:
    """Real and made; cutouts whose host is lost in a band have no colour and are left out."""
    real = [read_cutout(path).image for path in find_cutouts(folder / "dr10_cutouts")]
    tables = [[of_pixels(image) for image in sample] for sample in (real, images)]
    told = [[row for row in rows if np.isfinite(list(row.values())).all()] for rows in tables]
    return tuple({key: np.array([row[key] for row in rows]) for key in rows[0]} for rows in told)


def told_apart(real: np.ndarray, made: np.ndarray, forest: bool) -> Estimate:
    """AUC of a classifier that sees each object once, when it was held out; 0.5 is as good as real.

    real, made : (object, feature)
    """
    x = np.concatenate([real, made])
    y = np.concatenate([np.ones(len(real)), np.zeros(len(made))])
    model = (
        RandomForestClassifier(200, min_samples_leaf=20, random_state=1, class_weight="balanced")
        if forest
        else make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced"))
    )
    folds = StratifiedKFold(min(5, len(real)), shuffle=True, random_state=1)
    score = cross_val_predict(model, x, y, cv=folds, method="predict_proba")[:, 1]
    return auc(score[y == 1], score[y == 0])


def stacked(pairs: list[Comparison], names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    by_name = {pair.name: pair for pair in pairs}
    return (
        np.stack([by_name[name].real for name in names], axis=1),
        np.stack([by_name[name].made for name in names], axis=1),
    )


CLASSIFIERS = {
    "seeing, depth, dust of a place": ["psfsize_r", "psfdepth_r", "E(B-V)"],
    "r, g-r, r-z of a host": ["host r", "host g-r", "host r-z"],
    "noise of a cutout": [f"{w} {b}" for w in ("sky sigma", "lag-1") for b in BANDS],
    "host and field of a cutout": ["aperture g-r", "aperture r-z", "r_e seen", "objects"],
}


def verdicts(pairs: list[Comparison]) -> dict[str, tuple[Estimate, ...]]:
    """By question, the logistic and, where there are objects enough, the forest's AUC."""
    told = {}
    for question, names in CLASSIFIERS.items():
        real, made = stacked(pairs, names)
        kinds = (False, True) if len(real) > 100 else (False,)
        told[question] = tuple(told_apart(real, made, forest) for forest in kinds)
    return told


def spearman(pairs: list[Comparison]) -> tuple[float, float]:
    """Of seeing and depth: real, made."""
    real, made = stacked(pairs, ["psfsize_r", "psfdepth_r"])
    return float(spearmanr(real).statistic), float(spearmanr(made).statistic)


def galaxy_counts(folder: Path) -> list[tuple[str, float, float, float]]:
    """Depth, and galaxies per square arcmin: 16 and 84 % of real regions, and what is made.

    A galaxy is taken to be found when it is half a magnitude above a point source's 5 sigma.
    """
    rows = _regions(folder)
    depth, area, count, dust = (
        np.array([float(row[key]) for row in rows])
        for key in ("median_psfdepth_r", "total_area_deg2", "total_n_gal", "median_ebv")
    )
    density, counted = count / area / 3600, []
    for low, high in ((24.1, 24.3), (24.3, 24.6), (24.6, 25.0), (25.0, 25.3)):
        here = (depth > low) & (depth <= high) & (dust < 0.15)
        limit = float(np.median(depth[here])) - 0.5
        made = made_density(limit, CutoutsSynthetic().neighbours_per_arcmin2)
        counted.append((f"{low} to {high}", *np.percentile(density[here], [16, 84]), made))
    return counted


def made_density(limit: float, per_arcmin2: float) -> float:
    """Field galaxies brighter than r = `limit` per square arcmin, counted over 20 arcmin."""
    drawn = draw_galaxies(generator("density"), 600.0, per_arcmin2)
    return float((drawn.mags[:, 1] < limit).sum() / (1200 / 60) ** 2)


# -- what it costs ------------------------------------------------------------------------------


def speed(store: Path, hosts: int) -> float:
    """Cutouts of 64 pixels per CPU second, written and recorded; tables are made before."""
    torch.set_num_threads(1)
    synthetic_row(CutoutsSynthetic(), "warm", "luminous")
    start = time.process_time()
    cutouts_synthetic(store, CutoutsSynthetic(n_hosts=hosts), 1)
    return hosts / (time.process_time() - start)


# -- what it looks like -------------------------------------------------------------------------


def sheet(images: list[np.ndarray], titles: list[str], across: int) -> bytes:
    """RGB pictures with the report's stretch, `across` a line."""
    down = -(-len(images) // across)
    figure = Figure((across * 1.9, down * 2.05), dpi=110, facecolor="#12151c")
    grid = figure.subplots(down, across, squeeze=False)
    figure.subplots_adjust(0.005, 0.005, 0.995, 1 - 0.08 / down, 0.03, 0.08)
    for axes in grid.flat:
        axes.axis("off")
    for axes, image, title in zip(grid.flat, images, titles, strict=False):
        axes.imshow(rgb(image), origin="lower", interpolation="nearest")
        axes.set_title(title, color="#eef1f6", fontsize=7, pad=2)
    return png_bytes(figure)


def mixed_sheet(folder: Path, images: list[np.ndarray], real_at=(4, 13, 18)) -> bytes:
    """Three real cutouts among synthetic ones; for looking, not for keeping."""
    mixed = list(images[: SHEET - len(real_at)])
    for place, path in zip(real_at, find_cutouts(folder / "dr10_cutouts"), strict=True):
        mixed.insert(place, read_cutout(path).image)
    return numbered(mixed)


def numbered(images: list[np.ndarray]) -> bytes:
    return sheet(images[:SHEET], [str(i + 1) for i in range(SHEET)], 6)


def look_alike_sheet(each: int = 6) -> bytes:
    cfg = CutoutsSynthetic(n_hosts=1, mask_rate=0.0, missing_band_rate=0.0)
    kinds = HOST_KINDS[1:]
    rows = [synthetic_row(cfg, f"sheet-{k}-{i}", k) for k in kinds for i in range(each)]
    return sheet(
        [image_from(row["image"], row["size_pix"]) for row in rows],
        [row["host_kind"] for row in rows],
        each,
    )


def figure_of(pairs: list[Comparison]) -> bytes:
    """Cumulative distributions; where the real ones are few, their values as marks."""
    figure = Figure((11, 10.5), dpi=110, layout="constrained")
    shown = [p for p in pairs if not p.name.startswith("aperture")]
    grid = figure.subplots(-(-len(shown) // 4), 4, squeeze=False)
    for axes in grid.flat[len(shown) :]:
        axes.axis("off")
    for axes, pair in zip(grid.flat, shown, strict=False):
        _cumulative(axes, pair.made, SET_COLOUR, "synthetic")
        if len(pair.real) < 20:
            for value in pair.real:
                axes.axvline(value, color=REFERENCE_COLOUR, lw=1.4)
        else:
            _cumulative(axes, pair.real, REFERENCE_COLOUR, "real")
        axes.set_title(f"{pair.name}, n = {len(pair.real)} real", fontsize=9, color=INK)
        axes.tick_params(labelsize=7)
    grid.flat[0].legend(fontsize=7, frameon=False)
    return png_bytes(figure)


def _cumulative(axes, values, colour, label) -> None:
    ordered = np.sort(values)
    low, high = np.percentile(ordered, [0.5, 99.5])
    axes.plot(ordered, np.linspace(0, 1, len(ordered)), color=colour, lw=1.4, label=label)
    axes.set_xlim(low, high)


def said(pairs, told, correlations, counts, per_second) -> str:
    lines = [
        f"Cost: {per_second:.0f} cutouts of 64 pixels in g, r, z per CPU second of one core, "
        "written and recorded.",
        "",
        "| quantity | n real, synthetic | real: 5/16/50/84/95 %, or each | synthetic: the same | "
        "KS distance (chance, 95 %) |",
        "|---|---|---|---|---|",
        *(pair.line() for pair in pairs),
        "",
        f"Spearman (psfsize_r, psfdepth_r): real {correlations[0]:.2f}, "
        f"synthetic {correlations[1]:.2f}.",
        "",
        "| a classifier that is to tell real from synthetic by | n real | logistic: AUC [95 %] | "
        "forest: AUC [95 %] |",
        "|---|---|---|---|",
    ]
    for question, estimates in told.items():
        cells = [str(e) for e in estimates] + ["too few"] * (2 - len(estimates))
        lines.append(f"| {question} | {estimates[0].n} | {' | '.join(cells)} |")
    lines += [
        "",
        "| psfdepth_r | real galaxies per arcmin², 16 to 84 % of regions | synthetic |",
        "|---|---|---|",
        *(f"| {name} | {low:.1f} to {high:.1f} | {made:.1f} |" for name, low, high, made in counts),
    ]
    return "\n".join(lines)


def judged(folder: Path, work: Path, hosts: int, cutouts: int):
    """Comparisons, verdicts, cutouts of the real size and the speed."""
    per_second = speed(work / "small", hosts)
    cutouts_synthetic(work / "large", CutoutsSynthetic(n_hosts=cutouts, size_pix=CUTOUT_SIZE), 1)
    images = made_images(work / "large")
    pairs = comparisons(folder, made_columns(work / "small"), images)
    return pairs, verdicts(pairs), images, per_second


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=6000, help="for the catalogue quantities")
    parser.add_argument("--cutouts", type=int, default=400, help="for the pixel quantities")
    parser.add_argument("--write", action="store_true", help="into docs/sky.md and docs/figures")
    args = parser.parse_args()
    folder = real_data()
    with tempfile.TemporaryDirectory() as work:
        pairs, told, images, per_second = judged(folder, Path(work), args.hosts, args.cutouts)
    MIXED.parent.mkdir(exist_ok=True)
    MIXED.write_bytes(mixed_sheet(folder, images))
    text = said(pairs, told, spearman(pairs), galaxy_counts(folder), per_second)
    print(text, f"\nThree real cutouts among synthetic ones: {MIXED}", sep="\n")
    if args.write:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        PAGE.write_text(before + BEGIN + "\n\n" + text + "\n\n" + END + rest.partition(END)[2])
        figures = DOCS / "figures"
        (figures / "sky_statistics.png").write_bytes(figure_of(pairs))
        (figures / "sky_sheet.png").write_bytes(numbered(images))
        (figures / "look_alikes.png").write_bytes(look_alike_sheet())


if __name__ == "__main__":
    main()
