"""Gates of a source bank: galaxies, not noise, whole and alone. A new gate joins `GATES`.

`columns` holds io.bank.COLUMNS and, under `pixels.<name>`, what `pixel_numbers` measured on the
stored images, so that a column which says one thing and pixels which say another are noticed.
n counts templates.
"""

from collections.abc import Callable, Mapping

import numpy as np

from darkhaloscope.evaluate.findings import Finding, Level
from darkhaloscope.sim.light import half_light_radius
from darkhaloscope.units import stamp_center

Columns = Mapping[str, np.ndarray]

BORDER_PIX = 3
_OUTSKIRTS = 0.8


def pixel_numbers(images: np.ndarray, pixel_scale: float) -> dict[str, np.ndarray]:
    """Numbers of each template, from its pixels alone.

    images : (template, y, x); pixel_scale : arcsec
    Returns flux, border (flux in the outermost three pixels), outskirts (|flux| beyond 0.8 of half
    the stamp, of all |flux|), negative (share of lit pixels below 0) and hlr (arcsec)
    """
    n = images.shape[-1]
    y, x = np.indices((n, n)) - stamp_center(n)
    far = np.hypot(x, y) > _OUTSKIRTS * n / 2
    flux = images.sum((1, 2), dtype=np.float64)
    inner = images[:, BORDER_PIX:-BORDER_PIX, BORDER_PIX:-BORDER_PIX].sum((1, 2), dtype=np.float64)
    level = np.abs(images)
    lit = np.maximum((level > 0).sum((1, 2)), 1)
    return {
        "flux": flux,
        "border": flux - inner,
        "outskirts": level[:, far].sum(1) / np.maximum(level.sum((1, 2)), 1e-30),
        "negative": (images < 0).sum((1, 2)) / lit,
        "hlr": np.array([half_light_radius(image, pixel_scale) for image in images]),
    }


def judge_bank(columns: Columns) -> list[Finding]:
    """All gates, in the order of `GATES`."""
    return [gate(columns) for gate in GATES]


def _level(passed: bool) -> Level:
    return Level.PASS if passed else Level.FAIL


def _real(columns: Columns) -> np.ndarray:
    """Which templates were cut out of noise; made ones have none."""
    return np.isfinite(columns["snr"])


def _skip(gate: str, about: str, why: str) -> Finding:
    return Finding(gate, Level.SKIP, "nothing to judge", "", 0, about, why)


def unit_flux(columns: Columns) -> Finding:
    wrong = ~(np.abs(columns["pixels.flux"] - 1) < 1e-3)
    return Finding(
        "integrity.flux",
        _level(not wrong.any()),
        f"{wrong.sum()} templates of another flux",
        "0",
        len(wrong),
        "Every template has flux 1 to 0.1%, and no pixel that is not a number.",
        "The file was damaged or altered: make the bank again.",
    )


def columns_agree(columns: Columns) -> Finding:
    ratio = columns["pixels.hlr"] / columns["hlr_arcsec"]
    wrong = ~(np.abs(ratio - 1) < 0.05)
    return Finding(
        "integrity.columns",
        _level(not wrong.any()),
        f"{wrong.sum()} half-light radii that the pixels do not have",
        "0",
        len(wrong),
        "Half-light radii in the table are those of the pixels, to 5%.",
        "Rows and images were shuffled or altered: make the bank again.",
    )


def splits(columns: Columns) -> Finding:
    ids, words = columns["template_id"].astype(str), columns["split"].astype(str)
    pairs = np.unique(np.stack([ids, words]), axis=1)
    leaks = int((np.unique(pairs[0], return_counts=True)[1] > 1).sum())
    shares = ", ".join(f"{s} {np.mean(words == s):.0%}" for s in ("train", "val", "test"))
    return Finding(
        "integrity.splits",
        _level(leaks == 0),
        f"{leaks} galaxies in two splits; {shares}",
        "0",
        len(ids),
        "No galaxy is in two of train, val and test.",
        "Merge banks with `dhs bank merge`, which splits anew.",
    )


def doubles(columns: Columns) -> Finding:
    ids = columns["template_id"].astype(str)
    doubled = len(ids) - len(np.unique(ids))
    return Finding(
        "integrity.doubles",
        _level(doubled == 0),
        f"{doubled} galaxies more than once",
        "0",
        len(ids),
        "Galaxies were taken without replacement.",
        "Two banks of one catalogue were merged: make one of both.",
    )


def dark_border(columns: Columns) -> Finding:
    share = np.abs(columns["pixels.border"])
    return Finding(
        "quality.border",
        _level(float(np.quantile(share, 0.99)) <= 0.01),
        f"99% have less than {np.quantile(share, 0.99):.2%} of their flux there",
        "1.00%",
        len(share),
        "Templates end before their stamp does: no light in its outermost three pixels.",
        "Use a larger --stamp-size, or a smaller --max-hlr-arcsec.",
    )


def dark_outskirts(columns: Columns) -> Finding:
    share = columns["pixels.outskirts"]
    return Finding(
        "quality.outskirts",
        _level(float(np.median(share)) <= 0.05),
        f"median {np.median(share):.1%} of |flux| far from the centre",
        "5.0%",
        len(share),
        "The stamp's outskirts are dark: rectified sky fills them.",
        "Sky was clipped at 0 or not subtracted: cut the galaxies out with `dhs bank cosmos`.",
    )


def negatives_kept(columns: Columns) -> Finding:
    gate, about = "quality.negatives", "Noise has both signs: clipping it at 0 makes flux of it."
    real = _real(columns)
    if not real.any():
        return _skip(gate, about, "All templates were made without noise.")
    clipped = float(np.mean(columns["pixels.negative"][real] == 0))
    return Finding(
        gate,
        _level(clipped <= 0.05),
        f"{clipped:.1%} of templates have no negative pixel",
        "5.0%",
        int(real.sum()),
        about,
        "Sky was clipped at 0: cut the galaxies out with `dhs bank cosmos`.",
    )


def bright_enough(columns: Columns) -> Finding:
    gate, about = "quality.snr", "Templates show the galaxy, not the noise of its image."
    real = _real(columns)
    if not real.any():
        return _skip(gate, about, "All templates were made without noise.")
    low = float(np.quantile(columns["snr"][real], 0.05))
    return Finding(
        gate,
        _level(low >= 15),
        f"S/N 5% {low:.1f}, median {np.median(columns['snr'][real]):.1f}",
        "5% at 15 or more",
        int(real.sum()),
        about,
        "Raise --min-snr.",
    )


def clumpiness_above_noise(columns: Columns) -> Finding:
    gate = "quality.clumpiness"
    about = "Clumpiness is that of galaxies: above what a smooth one with the same noise shows."
    real = _real(columns)
    rough, null = columns["clumpiness"], columns["clumpiness_null"]
    plan = f"the plan's number: median {np.median(rough):.3f}"
    if not real.any():
        return _skip(gate, about, f"All templates were made without noise; {plan}.")
    noisy = float(np.quantile(null[real], 0.95))
    excess = float(np.median((rough - null)[real]))
    return Finding(
        gate,
        _level(noisy <= 0.25 and excess > -0.01),
        f"above the null by {excess:+.3f} (median); 95% of nulls below {noisy:.2f}; {plan}",
        "above -0.01, nulls below 0.25 (noise alone shows 0.3 and more)",
        int(real.sum()),
        about,
        "Most of the structure is noise: raise --min-snr.",
    )


def empty_sky(columns: Columns) -> Finding:
    gate, about = "quality.sky", "What was left beside the galaxies is compatible with 0."
    real = _real(columns)
    if not real.any():
        return _skip(gate, about, "All templates were made without noise.")
    left = columns["border_sigma"][real]
    median, far = float(np.median(left)), float(np.mean(np.abs(left) > 4))
    return Finding(
        gate,
        _level(abs(median) < 1 and far <= 0.05),
        f"median {median:+.2f} sigma, {far:.1%} beyond 4",
        "median within 1, 5.0% beyond 4",
        int(real.sum()),
        about,
        "The pedestal is wrong, or neighbours were not masked.",
    )


def catalogue_sizes(columns: Columns) -> Finding:
    gate, about = "quality.half_light_radius", "Half-light radii are those of the catalogue."
    ratio = columns["hlr_arcsec"] / columns["hlr_catalogue_arcsec"]
    ratio = ratio[np.isfinite(ratio)]
    if len(ratio) < 10:
        return _skip(gate, about, "Fewer than ten templates have one in their catalogue.")
    low, middle, high = np.quantile(ratio, (0.16, 0.5, 0.84))
    return Finding(
        gate,
        _level(abs(middle - 1) <= 0.15),
        f"ratio 16/50/84% {low:.2f}/{middle:.2f}/{high:.2f}",
        "median within 15%",
        len(ratio),
        about,
        "Rectified sky makes them too large, truncation too small.",
    )


def catalogue_fluxes(columns: Columns) -> Finding:
    gate, about = "quality.magnitude", "What was cut out has the catalogue's magnitude."
    off = columns["mag_measured"] - columns["mag"]
    off = off[np.isfinite(off)]
    if len(off) < 10:
        return _skip(gate, about, "Fewer than ten templates have one in their catalogue.")
    low, middle, high = np.quantile(off, (0.16, 0.5, 0.84))
    return Finding(
        gate,
        _level(abs(middle) <= 0.15),
        f"measured - catalogue 16/50/84% {low:+.2f}/{middle:+.2f}/{high:+.2f} mag",
        "median within 0.15 mag",
        len(off),
        about,
        "The zero-point is another one, or light was lost with the mask.",
    )


def known_colours(columns: Columns) -> Finding:
    mags = np.stack([np.isfinite(columns[f"mag_{b}"]) for b in "griz"]).sum(0)
    typed = (mags > 1) & np.isfinite(columns["z"])
    return Finding(
        "colours.known",
        Level.INFO,
        f"{np.mean(typed):.0%} have redshift and colours, {np.isfinite(columns['z']).mean():.0%} "
        "a redshift",
        "",
        len(typed),
        "Others get the spectral type of galaxies at the source's redshift.",
    )


GATES: tuple[Callable[[Columns], Finding], ...] = (
    unit_flux,
    columns_agree,
    splits,
    doubles,
    dark_border,
    dark_outskirts,
    negatives_kept,
    bright_enough,
    clumpiness_above_noise,
    empty_sky,
    catalogue_sizes,
    catalogue_fluxes,
    known_colours,
)
