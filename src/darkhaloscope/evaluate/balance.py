"""Gates on what must be the same for every kind of row, and on how much the set really holds."""

from collections.abc import Callable

import numpy as np
from scipy.spatial import cKDTree
from scipy.stats import ks_2samp

from darkhaloscope.evaluate.findings import Finding, Level, passed
from darkhaloscope.evaluate.sample import Columns, kinds_of, of, unique_hosts
from darkhaloscope.schema import band_columns

_MATCHED = (
    *band_columns("host_mag_{b}"),
    *band_columns("psf_fwhm_{b}_arcsec"),
    *band_columns("psf_depth_{b}_mag"),
    *band_columns("sky_sigma_{b}_nmgy"),
    *("ebv_mag", "ra_deg", "dec_deg", "host_q"),
)


def hosts(columns: Columns) -> Finding:
    controls = [kind for kind in kinds_of(columns) if kind != "lens"]
    names = [name for name in _MATCHED if name in columns and np.isfinite(columns[name]).any()]
    if not (controls and names):
        return Finding(
            "balance.hosts", Level.SKIP, "no control, or nothing known of hosts", "", 0,
            "Hosts are the same for every kind.", "A finder cannot be trained on lenses alone.",
        )  # fmt: skip
    limit = 0.01 / max(len(names) * len(controls), 1)
    worst_name, worst = "", 1.0
    for name in names:
        for kind in controls:
            pair = [of(columns, name, one) for one in ("lens", kind)]
            lens, control = (values[np.isfinite(values)] for values in pair)
            p = float(ks_2samp(lens, control).pvalue) if min(len(lens), len(control)) else 1.0
            if p < worst:
                worst_name, worst = f"{name}, lens against {kind}", p
    return Finding(
        "balance.hosts",
        passed(worst > limit),
        f"smallest KS p {worst:.3g} {worst_name}".strip(),
        f"> {limit:.3g}",
        unique_hosts(columns),
        "Host brightness and colour, seeing, depth, noise, reddening and sky are the same for "
        "every kind.",
        "Pair every lens with controls on the same hosts.",
    )


def sky(columns: Columns) -> Finding:
    """No stamp of one split shares pixels with one of another."""
    every = np.unique(columns["host_id"].astype(str), return_index=True)[1]
    hosts = every[np.isfinite(columns["ra_deg"] + columns["dec_deg"])[every]]
    ra, dec = np.radians(columns["ra_deg"][hosts]), np.radians(columns["dec_deg"][hosts])
    at = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)
    side = float(np.max(columns["size_pix"] * columns["pixel_scale_arcsec"]))
    reach = np.radians(side * np.sqrt(2) / 3600)
    split = columns["split"][hosts]
    near = cKDTree(at).query_pairs(2 * np.sin(reach / 2), output_type="ndarray")
    shared = int((split[near[:, 0]] != split[near[:, 1]]).sum())
    return Finding(
        "balance.sky",
        passed(shared == 0),
        f"{shared} pairs of hosts of two splits within {np.degrees(reach) * 3600:.0f} arcsec",
        "0",
        len(hosts),
        "No two splits look at the same piece of sky.",
        "Split by sky pixels with a guard band (`dhs parent`), not by host.",
    )


def effective_n(columns: Columns) -> Finding:
    """Hosts are places on the sky: names do not make them more."""
    rows, hosts = len(columns["host_id"]), unique_hosts(columns)
    templates = len(np.unique(columns["template_id"].astype(str)))
    first = np.unique(columns["host_id"].astype(str), return_index=True)[1]
    at = np.stack([columns["ra_deg"][first], columns["dec_deg"][first]], axis=1)
    places = len(np.unique(np.round(at * 3600), axis=0))
    return Finding(
        "balance.effective_n",
        passed(places >= 0.98 * hosts),
        f"{rows} rows looked at are {places} places on the sky, {hosts} hosts and {templates} "
        "templates",
        "places >= 0.98 of the hosts",
        hosts,
        "What intervals rest on is the number of places, not of rows.",
        "The same galaxies were taken under several names: make the parents unique by position.",
    )


def split_shares(columns: Columns) -> Finding:
    first = np.unique(columns["host_id"].astype(str), return_index=True)[1]
    split = columns["split"][first].astype(str)
    shares = {name: float((split == name).mean()) for name in ("train", "val", "test")}
    empty = [name for name, share in shares.items() if share == 0]
    return Finding(
        "balance.split_shares",
        Level.WARN if empty else Level.INFO,
        ", ".join(f"{share:.1%} {name}" for name, share in shares.items()) + " of the hosts",
        "",
        len(first),
        "What each split holds, by host: compare with the fractions that were wanted.",
        "A split is empty: a set of few sky pixels cannot be split by sky.",
    )


BALANCE: tuple[Callable[[Columns], Finding], ...] = (
    hosts,
    sky,
    effective_n,
    split_shares,
)
