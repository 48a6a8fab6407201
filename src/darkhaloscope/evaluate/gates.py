"""Gates: functions from a set's columns to findings. A new gate is a new function in `GATES`.

`columns` holds schema.STAMPS without pixels and metrics.stamp_metrics under `metric.<name>`, one
value a row. Every gate states its limit where it is judged; n counts unique hosts unless it says
rows.
"""

from collections.abc import Callable, Mapping

import numpy as np
from scipy.stats import ks_2samp

from darkhaloscope.evaluate.findings import Finding, Level
from darkhaloscope.evaluate.stats import auc, quantiles, rate
from darkhaloscope.schema import KINDS, band_columns
from darkhaloscope.units import BANDS, mag_from_flux

Columns = Mapping[str, np.ndarray]
COLLETT_THETA_E_16_84 = (0.95, 1.75)
"""arcsec; discoverable lenses at DES depth, Collett (2015)."""

SPECTROSCOPIC_MEDIANS = np.array(
    [
        (0.85, 0.50, 0.95),
        (1.13, 0.33, 0.93),
        (1.25, 0.32, 0.75),
        (2.0, 0.21, 0.32),
        (2.75, 0.30, 0.27),
    ]
)
"""Redshift, g-r and r-z (DECam, AB): EVIDENCE section 3, spectroscopic galaxies and VVDS-Deep
(MegaCam, carried to DECam); beyond 2.3 of templates."""


def judge(columns: Columns) -> list[Finding]:
    """All gates that need nothing but the set itself, in the order of `GATES`."""
    return [gate(columns) for gate in GATES]


def _of(columns: Columns, name: str, kind: str) -> np.ndarray:
    return columns[name][columns["kind"] == kind]


def _hosts(columns: Columns, kind: str | None = None) -> int:
    ids = columns["host_id"] if kind is None else _of(columns, "host_id", kind)
    return len(np.unique(ids.astype(str)))


def _level(passed: bool) -> Level:
    return Level.PASS if passed else Level.FAIL


def finite_pixels(columns: Columns) -> Finding:
    bad = int((columns["metric.bad_pixels"] > 0).sum())
    return Finding(
        "integrity.finite_pixels",
        _level(bad == 0),
        f"{bad} stamps with NaN or infinite pixels",
        "0",
        _hosts(columns),
        "Every pixel is a number.",
        "Such rows belong in the quarantine table: make the set again from checked cutouts.",
    )


def unique_tasks(columns: Columns) -> Finding:
    doubled = len(columns["task_id"]) - len(np.unique(columns["task_id"].astype(str)))
    return Finding(
        "integrity.unique_tasks",
        _level(doubled == 0),
        f"{doubled} doubled rows",
        "0",
        _hosts(columns),
        "No row is there twice.",
        "Two runs were mixed or a part was copied: remove the folder and inject again.",
    )


def complete_pairs(columns: Columns) -> Finding:
    pairs, pair = np.unique(columns["pair_id"].astype(str), return_inverse=True)
    lenses = np.bincount(pair, columns["kind"] == "lens", len(pairs))
    names = np.char.add(columns["pair_id"].astype(str), columns["kind"].astype(str))
    doubled = pair[_repeats(names)]
    broken = len(np.union1d(np.flatnonzero(lenses != 1), doubled))
    return Finding(
        "integrity.complete_pairs",
        _level(broken == 0),
        f"{broken} of {len(pairs)} pairs incomplete",
        "0",
        _hosts(columns),
        "Every pair has one lens and each kind of control once at most.",
        "Causes must strike whole pairs, never one kind: look into the quarantine table.",
    )


def _repeats(names: np.ndarray) -> np.ndarray:
    """Indices of values that were there before."""
    first = np.unique(names, return_index=True)[1]
    return np.setdiff1d(np.arange(len(names)), first)


def _kinds(columns: Columns) -> list[str]:
    """Kinds that the set has, in the order of KINDS."""
    there = set(columns["kind"].astype(str))
    return [kind for kind in KINDS if kind in there]


OF_A_ROW = {"task_id", "kind", "label", "source_x_arcsec", "source_y_arcsec"}.union(
    {"flux_inside", "arc_snr"}, band_columns("arc_flux_{b}_nmgy"), band_columns("arc_snr_{b}")
)
"""Columns that may differ between the rows of a pair; all others tell the kind if they do."""


def equal_within_pairs(columns: Columns) -> Finding:
    pair = np.unique(columns["pair_id"].astype(str), return_inverse=True)[1]
    first = np.unique(pair, return_index=True)[1][pair]
    shared = [name for name in columns if name not in OF_A_ROW and not name.startswith("metric.")]
    telling = [name for name in shared if not _same_values(columns[name], columns[name][first])]
    return Finding(
        "integrity.equal_within_pairs",
        _level(not telling),
        "columns that differ: " + (", ".join(telling) or "none"),
        "none",
        _hosts(columns),
        "Rows of a pair share host, sky, PSF, gain and source: only the light added differs.",
        "These columns tell the label: fill them alike for every kind of a pair.",
    )


def _same_values(one: np.ndarray, two: np.ndarray) -> bool:
    if one.dtype.kind == "f":
        return bool(np.array_equal(one, two, equal_nan=True))
    return bool((one == two).all())


def equal_nullity(columns: Columns) -> Finding:
    """Each row against the lens of its pair, so that a kind that few pairs have is judged too."""
    pair = np.unique(columns["pair_id"].astype(str), return_inverse=True)[1]
    lens = np.full(pair.max(initial=-1) + 1, -1)
    (lenses,) = np.nonzero(columns["kind"] == "lens")
    lens[pair[lenses]] = lenses
    (rows,) = np.nonzero(lens[pair] >= 0)
    leaking = [
        name
        for name, values in columns.items()
        if values.dtype.kind == "f"
        and (np.isnan(values[rows]) != np.isnan(values[lens[pair[rows]]])).any()
    ]
    return Finding(
        "integrity.equal_nullity",
        _level(not leaking),
        "columns: " + (", ".join(leaking) or "none"),
        "none",
        _hosts(columns),
        "No column is empty for one kind and filled for another, which would tell the label.",
        "Fill these columns for every kind.",
    )


def label_is_kind(columns: Columns) -> Finding:
    wrong = int((columns["label"] != (columns["kind"] == "lens")).sum())
    return Finding(
        "integrity.label",
        _level(wrong == 0),
        f"{wrong} rows",
        "0",
        _hosts(columns),
        "Label 1 is kind lens, and only that.",
        "The set was altered after injection: make it again.",
    )


def flux_is_magnified(columns: Columns) -> Finding:
    lit = columns["kind"] == "lens"
    ratio = columns["flux_inside"][lit]
    worst = float(np.abs(np.median(ratio) - 1)) if lit.any() else np.nan
    low = quantiles(ratio, (1,))[0]
    return Finding(
        "physics.flux_is_magnified",
        _level(worst <= 0.01 and low > 0.9),
        f"median {np.median(ratio):.4f}, 1% of rows below {low:.3f}",
        "median within 0.01 of 1, 1% point above 0.9",
        _hosts(columns, "lens"),
        "Light added by a lens = magnification x source flux, but for wings outside the stamp.",
        "A wrong flux unit, a lost pixel-area factor, or stamps too small for their lenses.",
    )


def hosts_untouched(columns: Columns) -> Finding:
    added = np.abs(np.stack([_of(columns, f"arc_flux_{b}_nmgy", "host") for b in BANDS])).max()
    return Finding(
        "physics.hosts_untouched",
        _level(added == 0),
        f"largest flux added to a host row {added:.3g} nmgy",
        "0 nmgy",
        _hosts(columns, "host"),
        "Rows of kind host carry nothing but the survey's own pixels.",
        "The renderer drew on a control row.",
    )


def noise_untouched(columns: Columns) -> Finding:
    lens, host = (
        np.array([np.median(_of(columns, f"metric.sky_sigma_{b}", kind)) for b in BANDS])
        for kind in ("lens", "host")
    )
    ratios = np.divide(lens, host, out=np.full(len(BANDS), np.nan), where=host > 0)
    return Finding(
        "realism.sky_noise",
        _level(bool((np.abs(ratios - 1) <= 0.03).all())),
        "lens / host " + ", ".join(f"{b} {r:.3f}" for b, r in zip(BANDS, ratios, strict=True)),
        "0.97 to 1.03",
        _hosts(columns, "lens"),
        "Injection leaves the sky's noise as it was.",
        "Noise was added to cutouts that bring their own.",
    )


def arc_snr(columns: Columns) -> Finding:
    snr = _of(columns, "arc_snr", "lens")
    share = rate(int((snr > 3).sum()), len(snr))
    return Finding(
        "realism.arc_snr",
        _level(share.value >= 0.95),
        f"{share} of lenses above 3; median {np.median(snr):.1f}",
        ">= 0.95 above 3",
        _hosts(columns, "lens"),
        "Lensed light can be seen: matched S/N, sqrt(sum f^2 invvar) over bands.",
        "Raise source brightness or lower arc_mag_r_max.",
    )


def arc_below_host(columns: Columns) -> Finding:
    arc = mag_from_flux(_of(columns, "arc_flux_r_nmgy", "lens"))
    difference = arc - _of(columns, "host_mag_r", "lens")
    known = np.isfinite(difference)
    if not known.any():
        return Finding(
            "realism.arc_host", Level.SKIP, "host magnitudes unknown", "> 0 mag", 0,
            "Arcs are fainter than their hosts.", "Give host_mag_r with the cutouts.",
        )  # fmt: skip
    low, middle = quantiles(difference, (5, 50))
    return Finding(
        "realism.arc_host",
        _level(middle > 0 and low > -0.75),
        f"arc minus host r: median {middle:.2f}, 5% {low:.2f} mag",
        "median > 0, 5% > -0.75 mag",
        _hosts(columns, "lens"),
        "Arcs are fainter than their hosts, as discoverable lenses are (median 3.0, 5% -0.7 mag).",
        "Sources were tied to the host's magnitude, or drawn too bright.",
    )


def einstein_radii(columns: Columns) -> Finding:
    theta_E = _of(columns, "theta_E_arcsec", "lens")
    middle = float(np.median(theta_E))
    error = float(np.std(theta_E) * np.sqrt(np.pi / 2 / max(len(theta_E), 1)))
    low, high = COLLETT_THETA_E_16_84
    return Finding(
        "realism.theta_E",
        _level(low <= middle + 2 * error and middle - 2 * error <= high),
        f"median {middle:.2f} ± {error:.2f} arcsec",
        f"{low} to {high} arcsec, two errors aside",
        _hosts(columns, "lens"),
        "Einstein radii are those of discoverable lenses (Collett 2015, 16 to 84%).",
        "Raise theta_E_min_arcsec or choose heavier hosts; unresolved lenses teach nothing.",
    )


def source_colours(columns: Columns) -> Finding:
    """Median colours against spectroscopic galaxies of the same redshifts."""
    z = _of(columns, "z_source", "lens")
    off, error = [], []
    for name, medians in zip(
        ("source_g_minus_r", "source_r_minus_z"), SPECTROSCOPIC_MEDIANS.T[1:], strict=True
    ):
        left = _of(columns, name, "lens") - np.interp(z, SPECTROSCOPIC_MEDIANS[:, 0], medians)
        off.append(float(np.median(left)))
        error.append(float(np.std(left) * np.sqrt(np.pi / 2 / max(len(left), 1))))
    surely = max(abs(o) - 2 * e for o, e in zip(off, error, strict=True))
    return Finding(
        "realism.source_colours",
        _level(surely <= 0.2),
        f"g-r off by {off[0]:+.2f} ± {error[0]:.2f}, r-z off by {off[1]:+.2f} ± {error[1]:.2f} mag",
        "within 0.20 mag, two errors aside",
        _hosts(columns, "lens"),
        "Sources have the colours of galaxies at their redshift.",
        "Use colour_model = catalogue or template; no known galaxy has the plan's offsets.",
    )


def matched_hosts(columns: Columns) -> Finding:
    names = ("host_mag_r", "host_mag_z", "psf_fwhm_r_arcsec", "sky_sigma_r_nmgy", "ebv_mag")
    controls = [kind for kind in _kinds(columns) if kind != "lens"]
    limit = 0.01 / max(len(names) * len(controls), 1)
    worst_name, worst = "", 1.0
    for name in names:
        lens = _of(columns, name, "lens")
        for kind in controls:
            p = ks_2samp(lens, _of(columns, name, kind), nan_policy="omit").pvalue
            if p < worst:
                worst_name, worst = f"{name}, lens against {kind}", float(p)
    return Finding(
        "balance.hosts",
        _level(worst > limit),
        f"smallest KS p {worst:.3g} {worst_name}".strip(),
        f"> {limit:.3g}",
        _hosts(columns),
        "Host brightness, seeing, noise and reddening are the same for every kind.",
        "Pair every lens with controls on the same hosts.",
    )


def one_split_each(columns: Columns) -> Finding:
    leaks = {
        what: _in_two_splits(columns[name], columns["split"])
        for what, name in (("hosts", "host_id"), ("templates", "template_id"))
    }
    return Finding(
        "balance.splits",
        _level(not any(leaks.values())),
        ", ".join(f"{n} {what}" for what, n in leaks.items()) + " in two splits",
        "0",
        _hosts(columns),
        "No host and no source template is in two of train, val and test.",
        "Split by sky and by template before planning.",
    )


def _in_two_splits(values: np.ndarray, splits: np.ndarray) -> int:
    pairs = np.unique(np.stack([values.astype(str), splits.astype(str)]), axis=1)
    return int((np.unique(pairs[0], return_counts=True)[1] > 1).sum())


def effective_n(columns: Columns) -> Finding:
    rows, hosts = len(columns["host_id"]), _hosts(columns)
    templates = len(np.unique(columns["template_id"].astype(str)))
    return Finding(
        "balance.effective_n",
        Level.INFO,
        f"{rows} rows on {hosts} hosts with {templates} templates",
        "",
        hosts,
        "What intervals rest on is the number of hosts, not of rows.",
    )


def _probe(name: str, metric: str, limit: float, about: str) -> Callable[[Columns], Finding]:
    """One number against lens or unlensed: fails where it surely separates beyond the limit."""

    def gate(columns: Columns) -> Finding:
        gate_name = f"probe.{name}"
        pair = [_of(columns, f"metric.{metric}", kind) for kind in ("lens", "unlensed")]
        n, passes = min(map(len, pair)), f"{1 - limit:.2f} to {limit:.2f} within the 95% interval"
        if n < 20:
            advice = "Too few rows to tell; 20 a kind are needed."
            return Finding(gate_name, Level.SKIP, f"n = {n}", passes, n, about, advice)
        found = auc(*pair)
        surely, perhaps = max(found.low, 1 - found.high), max(found.high, 1 - found.low)
        level, advice = Level.PASS, ""
        if surely > limit:
            level = Level.FAIL
            advice = "Lens and unlensed rows differ in this number alone: match them."
        elif perhaps > limit:
            level = Level.WARN
            advice = "The interval reaches beyond the limit: more hosts are needed to tell."
        return Finding(gate_name, level, f"AUC {found}", passes, _hosts(columns), about, advice)

    return gate


def arc_control(columns: Columns) -> Finding:
    """The probe that must succeed: light was added where arcs are."""
    pair = (_of(columns, "metric.arc", "lens"), _of(columns, "metric.arc", "host"))
    if min(map(len, pair)) < 2:
        return Finding("probe.arc_control", Level.SKIP, "too few rows", "", 0, "", "")
    by_pair = pair[0] - pair[1] if len(pair[0]) == len(pair[1]) else np.array([np.nan])
    brighter = rate(int((by_pair > 0).sum()), len(by_pair))
    return Finding(
        "probe.arc_control",
        _level(brighter.low > 0.5 or (brighter.n < 10 and brighter.value > 0.5)),
        f"{brighter} of lenses brighter than their host at 0.8 to 2.6 arcsec",
        "> 0.5",
        _hosts(columns),
        "Positive control: lenses are brighter than their own hosts where arcs lie.",
        "Nothing was added: stamps are zeroed, or hosts and lenses swapped.",
    )


GATES: tuple[Callable[[Columns], Finding], ...] = (
    finite_pixels,
    unique_tasks,
    complete_pairs,
    equal_within_pairs,
    equal_nullity,
    label_is_kind,
    flux_is_magnified,
    hosts_untouched,
    noise_untouched,
    arc_snr,
    arc_below_host,
    einstein_radii,
    source_colours,
    matched_hosts,
    one_split_each,
    effective_n,
    _probe("core", "core", 0.70, "Core brightness alone does not tell lens from unlensed."),
    _probe("outer", "outer", 0.55, "The stamp's outskirts do not tell lens from unlensed."),
    _probe("total", "total", 0.55, "Total flux does not tell lens from unlensed."),
    _probe("sky", "sky_sigma_r", 0.55, "Sky noise does not tell lens from unlensed."),
    arc_control,
)
