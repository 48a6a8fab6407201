"""Gates on what was counted of every row: the set is whole, and no column tells the label."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from darkhaloscope.evaluate.findings import Finding, Level, passed
from darkhaloscope.evaluate.tally import Tally


def _counted(name: str, fault: str, measured: str, about: str, advice: str):
    """A gate that allows no row of one fault."""

    def gate(tally: Tally) -> Finding:
        if fault in tally.columns["absent"]:
            return _skipped(f"integrity.{name}", fault, about)
        n = tally.faults[fault]
        return Finding(
            f"integrity.{name}",
            passed(n == 0),
            measured.format(n=n, rows=tally.rows, pairs=len(tally.pairs)),
            "0",
            tally.n_hosts,
            about,
            advice,
        )

    return gate


def _skipped(gate: str, column: str, about: str) -> Finding:
    return Finding(gate, Level.SKIP, f"no column {column}", "", 0, about, "Nothing to judge by.")


def _once(name: str, field: str, measured: str, about: str, advice: str):
    """A gate that allows nothing twice."""

    def gate(tally: Tally) -> Finding:
        values = getattr(tally, field)
        n = _repeats(values)
        return Finding(
            f"integrity.{name}",
            passed(n == 0),
            measured.format(n=n, all=len(values)),
            "0",
            tally.n_hosts,
            about,
            advice,
        )

    return gate


def _repeats(values: np.ndarray) -> int:
    return len(values) - len(np.unique(values))


def _named(name: str, fault: str, about: str, advice: str):
    """A gate that allows no column of one fault."""

    def gate(tally: Tally) -> Finding:
        found = ", ".join(sorted(tally.columns[fault]))
        return Finding(
            f"integrity.{name}",
            passed(not found),
            "columns: " + (found or "none"),
            "none",
            tally.n_hosts,
            about,
            advice,
        )

    return gate


finite_pixels = _counted(
    "finite_pixels",
    "bad_pixels",
    "{n} stamps with NaN or infinite pixels",
    "Every pixel is a number.",
    "Such rows belong in the quarantine table: make the set again from checked cutouts.",
)
empty_stamps = _counted(
    "empty_stamps",
    "empty",
    "{n} of {rows} stamps with a band of one value",
    "Every band of every stamp holds data.",
    "A missing band was filled, or stamps were zeroed: make the set again from checked cutouts.",
)
flags = _counted(
    "flags",
    "flags",
    "{n} rows with a flag that spoils them",
    "Flagged rows are in quarantine, not here.",
    "Rows were put back from quarantine: leave them there.",
)
label = _counted(
    "label",
    "label",
    "{n} rows",
    "Label 1 is kind lens, and only that.",
    "The set was altered after injection: make it again.",
)


unique_tasks = _once(
    "unique_tasks",
    "tasks",
    "{n} doubled rows",
    "No row is there twice.",
    "Two runs were mixed or a part was copied: remove the folder and inject again.",
)
unique_pixels = _once(
    "unique_pixels",
    "lenses",
    "{n} of {all} lenses show the pixels of another one",
    "No lens is there twice under two names.",
    "Rows were copied and renamed, or loader shards doubled: n is smaller than it looks.",
)


def complete_pairs(tally: Tally) -> Finding:
    """A set in which no row is paired may be good, but nothing ties its kinds together."""
    about = "Every pair has one lens and each kind of control once at most, all in one file."
    if tally.unpaired:
        return Finding(
            "integrity.complete_pairs",
            Level.WARN,
            "rows are not paired",
            "0",
            tally.n_hosts,
            about,
            "Lenses and controls stand on other hosts: what differs between hosts tells the label.",
        )
    broken = tally.faults["broken_pairs"] + _repeats(tally.pairs)  # apart in two pieces
    return Finding(
        "integrity.complete_pairs",
        passed(broken == 0),
        f"{broken} of {len(tally.pairs)} pairs incomplete",
        "0",
        tally.n_hosts,
        about,
        "Causes must strike whole pairs, never one kind: look into the quarantine table.",
    )


_within_pairs = _named(
    "equal_within_pairs",
    "telling",
    "Rows of a pair share host, sky, PSF, gain and source: only the light added differs.",
    "These columns tell the label: fill them alike for every kind of a pair.",
)
_nullity = _named(
    "equal_nullity",
    "leaking",
    "No column is empty for one kind and filled for another, which would tell the label.",
    "Fill these columns for every kind.",
)


def equal_within_pairs(tally: Tally) -> Finding:
    found = _within_pairs(tally)
    if not tally.unpaired:
        return found
    return _skipped(found.gate, "pair_id", found.about)


def equal_nullity(tally: Tally) -> Finding:
    """In pairs, row by row; without them, by the share of rows that lack a value."""
    if not tally.unpaired:
        return _nullity(tally)
    share = {key: n / tally.kinds[key[0]] for key, n in tally.empty.items()}
    names = {name for _, name in share}
    controls = [kind for kind in tally.kinds if kind != "lens"]
    apart = {
        name
        for name in names
        for kind in controls
        if abs(share.get(("lens", name), 0.0) - share.get((kind, name), 0.0)) > _NULLS_APART
    }
    told = replace(tally, columns=tally.columns | {"leaking": frozenset(apart)})
    return _nullity(told)


_NULLS_APART = 0.1


units = _named(
    "units",
    "units",
    "Every value lies where its unit allows it.",
    "Look at the unit: an inverse variance for a magnitude, pixels for arcsec, degrees for rad.",
)


def hosts_untouched(tally: Tally) -> Finding:
    about = "Rows of kind host carry nothing but the survey's own pixels."
    if "arc_flux_r_nmgy" in tally.columns["absent"]:
        return _skipped("physics.hosts_untouched", "arc_flux_r_nmgy", about)
    return Finding(
        "physics.hosts_untouched",
        passed(tally.added_to_hosts == 0),
        f"largest flux added to a host row {tally.added_to_hosts:.3g} nmgy",
        "0 nmgy",
        tally.n_hosts,
        about,
        "The renderer drew on a control row.",
    )


def splits(tally: Tally) -> Finding:
    about = "No host and no source template is in two of train, val and test."
    absent = tally.columns["absent"]
    if "split" in absent:
        return _skipped("balance.splits", "split", about)
    named = {"hosts": tally.hosts} | (
        {} if "template_id" in absent else {"templates": tally.templates}
    )
    leaks = {what: _repeats(both[:, 0]) for what, both in named.items()}
    return Finding(
        "balance.splits",
        passed(not any(leaks.values())),
        ", ".join(f"{n} {what}" for what, n in leaks.items()) + " in two splits",
        "0",
        tally.n_hosts,
        about,
        "Split by sky and by template before planning.",
    )


COUNTED: tuple[Callable[[Tally], Finding], ...] = (
    finite_pixels,
    empty_stamps,
    unique_tasks,
    unique_pixels,
    complete_pairs,
    equal_within_pairs,
    equal_nullity,
    label,
    flags,
    units,
    hosts_untouched,
    splits,
)
