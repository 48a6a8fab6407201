"""What the plan asks of a hundred injections before a million are made."""

from collections.abc import Mapping

import numpy as np

from darkhaloscope.evaluate.findings import Finding, Level, passed
from darkhaloscope.evaluate.sample import Columns, of, unique_hosts
from darkhaloscope.evaluate.stats import rate

_LEAST_SNR, _LEAST_SHARE = 3.0, 0.95
_PLAN_CLUMPINESS, _PLAN_SERSIC = 0.15, 0.08
"""The plan's limit and its figure of a Sersic profile. Noise alone shows 0.3 and more."""


def judge_preflight(columns: Columns, bank: Mapping[str, np.ndarray]) -> list[Finding]:
    """The plan's own criteria.

    columns : of the injected rows; bank : the bank's columns, one value a template
    """
    return [arcs_seen(columns), structure(columns, bank), red_and_blue(columns)]


def arcs_seen(columns: Columns) -> Finding:
    snr = of(columns, "arc_snr", "lens")
    seen = rate(int((snr > _LEAST_SNR).sum()), len(snr))
    plan = of(columns, "arc_flux_r_nmgy", "lens") / (
        of(columns, "sky_sigma_r_nmgy", "lens") * of(columns, "size_pix", "lens")
    )
    return Finding(
        "preflight.arc_snr",
        passed(seen.value >= _LEAST_SHARE),
        f"{seen} of injections have matched S/N above {_LEAST_SNR:g}, median {np.median(snr):.0f}; "
        f"by the plan's flux over RMS of the stamp {np.mean(plan > _LEAST_SNR):.2f}, median "
        f"{np.median(plan):.1f}",
        f">= {_LEAST_SHARE:g}",
        unique_hosts(columns, "lens"),
        "95% of injections can be seen (the plan's first criterion).",
        "Lower arc_mag_r_max, or raise min_arc_snr.",
    )


def structure(columns: Columns, bank: Mapping[str, np.ndarray]) -> Finding:
    """Against the smooth twin of the same galaxy with the same noise."""
    used = of(columns, "template_index", "lens")
    rough, null = bank["clumpiness"][used], bank["clumpiness_null"][used]
    excess, plan = float(np.median(rough - null)), float(np.median(rough))
    smooth = bool((bank["source"][used] == "sersic").all())
    measured = (
        f"above the smooth twin by {excess:+.4f} (median); the plan's number: median {plan:.3f}, "
        f"{'above' if plan > _PLAN_CLUMPINESS else 'not above'} its {_PLAN_CLUMPINESS} (its Sersic "
        f"{_PLAN_SERSIC})"
    )
    return Finding(
        "preflight.clumpiness",
        Level.SKIP if smooth else passed(excess > 0),
        measured,
        "above 0",
        len(np.unique(used)),
        "Templates have structure beyond a smooth galaxy with their noise; n counts templates.",
        "A bank of Sersic profiles is smooth: it is a baseline."
        if smooth
        else "The bank's galaxies are smooth, or all their structure is noise: `dhs bank check`.",
    )


def red_and_blue(columns: Columns) -> Finding:
    """Sources are told from their hosts by colour, as far as both are known."""
    host = of(columns, "host_mag_g", "lens") - of(columns, "host_mag_r", "lens")
    bluer = (host - of(columns, "source_g_minus_r", "lens"))[np.isfinite(host)]
    if not bluer.size:
        return Finding(
            "preflight.colour", Level.SKIP, "host colours unknown", "", 0,
            "Sources are bluer than their hosts, as most real ones are.", "Give host_mag_g and r.",
        )  # fmt: skip
    return Finding(
        "preflight.colour",
        Level.INFO,
        f"source bluer than its host in g-r by {np.median(bluer):.2f} mag (median), in "
        f"{np.mean(bluer > 0):.0%} of rows",
        "",
        unique_hosts(columns, "lens"),
        "Sources are bluer than their hosts, as most real ones are.",
    )
