"""What `dhs parent` says at its end: counts over all parts, doubles, splits in their fractions."""

import json
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from pyarrow import Table

from darkhaloscope.config import Parent
from darkhaloscope.errors import DhsError
from darkhaloscope.io.parts import COUNTS_KEY, QUARANTINE_DIR, PartStore, parts_in
from darkhaloscope.io.tables import metadata_of, read_table
from darkhaloscope.jobs.progress import console
from darkhaloscope.keys import digest_of
from darkhaloscope.schema import PARENT
from darkhaloscope.survey import split
from darkhaloscope.survey.selections import SELECTIONS
from darkhaloscope.units import SKY_PIXEL_ARCSEC

_DOUBLE_NSIDE = 1 << 17
"""HEALPix pixels of 1.6 arcsec, in which one galaxy of two releases falls together."""
_MOST_CLOSE = 0.01
"""Of hosts that share such a pixel by chance and as pairs; within a release it is far less."""


@dataclass
class Tally:
    """Sums over parts; 16 bytes a host are kept, to find doubles."""

    counts: Counter = field(default_factory=Counter)
    ids: list[np.ndarray] = field(default_factory=list)
    places: list[np.ndarray] = field(default_factory=list)
    hosts_of: Counter = field(default_factory=Counter)  # (sky pixel, split)

    def add(self, counts: dict[str, int], table: Table, nside: int) -> None:
        self.counts += Counter(counts)
        names = table["host_id"].to_pylist()
        self.ids.append(np.array([int(digest_of(name)[:15], 16) for name in names], np.int64))
        ra, dec = table["ra_deg"].to_numpy(), table["dec_deg"].to_numpy()
        self.places.append(split.sky_pixels(ra, dec, _DOUBLE_NSIDE))
        pixels = zip(table["healpix"].to_pylist(), table["split"].to_pylist(), strict=True)
        self.hosts_of.update(pixels)

    def hosts_by_pixel(self) -> np.ndarray:
        """Hosts in each sky pixel that has one; a pixel has one split."""
        return np.array(list(self.hosts_of.values()))

    def hosts_by_split(self) -> dict[str, int]:
        return {
            word: sum(n for (_, theirs), n in self.hosts_of.items() if theirs == word)
            for word in split.WORDS
        }


def finish(store: PartStore, cfg: Parent) -> None:
    """Say and judge what all parts hold, and write the run record.

    Raises DhsError if no host is left, one is there twice, or the splits miss their fractions
    """
    tally = Tally()
    for path in parts_in(store.folder):
        table = read_table(path, PARENT, ["host_id", "ra_deg", "dec_deg", "healpix", "split"])
        tally.add(json.loads(metadata_of(path)[COUNTS_KEY]), table, cfg.split_nside)
    counts = tally.counts
    _say(counts, cfg)
    if not counts["hosts"]:
        raise DhsError(
            f"no host is left of {counts['read']} objects: {counts['selected']} are selected by "
            f"{', '.join(cfg.selection)}, all flagged; see {store.folder / QUARANTINE_DIR}"
        )
    _no_doubles(tally, store)
    hosts = _asserted_splits(tally, store, cfg)
    n = len(tally.hosts_of)
    digest = store.write_record(
        counts=dict(sorted(counts.items())),
        split_hosts=hosts,
        split_fractions={word: n / counts["hosts"] for word, n in hosts.items()},
        split_tolerance=cfg.split_tolerance,
        healpix_nside=cfg.split_nside,
        sky_pixels=n,
        sky_area_deg2=round(n * split.pixel_area_deg2(cfg.split_nside), 3),
    )
    console.print(f"parent {store.folder}: {counts['hosts']} hosts, digest {digest[:16]}")


def _say(counts: Counter, cfg: Parent) -> None:
    console.print(
        f"  {counts['read']} objects read, {counts['not primary']} of them not primary; "
        f"{counts['selected']} selected, {counts['hosts']} usable"
    )
    for name in SELECTIONS:
        if counts[f"not known: {name}"]:
            said = "not known, the catalogue lacks its columns"
        else:
            said = f"{counts[f'selected: {name}']} selected, {counts[f'hosts: {name}']} usable"
        console.print(f"  {name:<10} {said}{'' if name in cfg.selection else ' (not asked for)'}")
    for key in sorted(counts, key=lambda k: -counts[k]):
        if key.startswith(("flagged: ", "type: ")):
            console.print(f"  {key:<26} {counts[key]}")


def _no_doubles(tally: Tally, store: PartStore) -> None:
    n = tally.counts["hosts"]
    if doubled := n - len(np.unique(np.concatenate(tally.ids))):
        raise DhsError(
            f"{doubled} objects are in {store.folder} twice: give sweeps or Tractor files, not "
            "both, and each file once; then choose another folder"
        )
    close = n - len(np.unique(np.concatenate(tally.places)))
    if close > max(_MOST_CLOSE * n, 10):
        raise DhsError(
            f"{close} of {n} hosts in {store.folder} stand within 1.6 arcsec of another one: give "
            "catalogues of one release, in which an object has one name; then choose another folder"
        )


def _asserted_splits(tally: Tally, store: PartStore, cfg: Parent) -> dict[str, int]:
    """Each split's hosts. Raises DhsError if a share misses its fraction."""
    hosts = tally.hosts_by_split()
    n = len(tally.hosts_of)
    said = ", ".join(
        f"{word} {count} = {count / tally.counts['hosts']:.3f} ({wanted:g} wanted)"
        for (word, count), wanted in zip(hosts.items(), cfg.split_fractions, strict=True)
    )
    area = n * split.pixel_area_deg2(cfg.split_nside)
    console.print(
        f"  splits over {n} sky pixels, {area:.4g} deg2: {said}; the guard band cost "
        f"{tally.counts['flagged: GUARD_BAND']} objects"
    )
    worst = split.worst_miss(list(hosts.values()), cfg.split_fractions)
    if worst > cfg.split_tolerance:
        scatter = split.expected_scatter(tally.hosts_by_pixel(), 0.5)
        raise DhsError(
            f"the splits miss their fractions by {worst:.3f}, more than split_tolerance "
            f"{cfg.split_tolerance:g}: {said}. {n} sky pixels of nside {cfg.split_nside} scatter "
            f"by up to {scatter:.3f}. {_advice(store, cfg)}; or raise split_tolerance, in this "
            "folder: what is there is kept"
        )
    return hosts


def _advice(store: PartStore, cfg: Parent) -> str:
    """The first finer nside that holds the tolerance, from these very hosts."""
    most = SKY_PIXEL_ARCSEC / max(split.PIXELS_PER_GUARD * cfg.guard_arcsec, 1)
    nside = 2 * cfg.split_nside
    while nside <= min(most, 8192):
        if (
            split.worst_miss(_hosts_at(nside, store, cfg), cfg.split_fractions)
            < cfg.split_tolerance
        ):
            return f"Choose split_nside = {nside}, which holds it, and another folder"
        nside *= 2
    return f"No split_nside that a guard of {cfg.guard_arcsec:g} arcsec allows holds it"


def _hosts_at(nside: int, store: PartStore, cfg: Parent) -> list[int]:
    """Hosts in each split, were the sky pixels of another nside."""
    hosts = np.zeros(len(split.WORDS), int)
    for path in parts_in(store.folder):
        table = read_table(path, PARENT, ["ra_deg", "dec_deg"])
        ra, dec = table["ra_deg"].to_numpy(), table["dec_deg"].to_numpy()
        salt = split.salt_of(cfg.seed)
        words = split.splits_by_sky(ra, dec, cfg.split_fractions, salt, nside)
        hosts += [(words == word).sum() for word in split.WORDS]
    return hosts.tolist()
