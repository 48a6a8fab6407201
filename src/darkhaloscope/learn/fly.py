"""Training rows made on the fly: every pass draws new lenses and controls on the same hosts.

They come from the plan's own draws and the injection's own renderer. A pass draws what a plan with
more pairs a host would hold, so that the first pass is the stored set itself, to the bit.
"""

import contextlib
import json
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Self

import numpy as np
import torch

from darkhaloscope.config import Inject, Plan, Train, build
from darkhaloscope.errors import DhsError
from darkhaloscope.flags import PASSING
from darkhaloscope.io.bank import open_bank
from darkhaloscope.io.files import whole
from darkhaloscope.io.tables import columns_of, metadata_of, read_table, write_table
from darkhaloscope.jobs.hosts import CutoutStore, Hosts, open_cutouts, read_hosts, read_pixels
from darkhaloscope.jobs.inject import complete, in_pieces, injected, may_be_used
from darkhaloscope.jobs.pairs import draw_pairs, galaxies_of, redshifts_of, weighted
from darkhaloscope.jobs.plan_rows import rows_of_pairs
from darkhaloscope.jobs.pool import workers as processes
from darkhaloscope.jobs.stamps import record_of_stamps
from darkhaloscope.keys import generator
from darkhaloscope.learn.batch import COLUMNS, Rows
from darkhaloscope.learn.on_device import lit, on_device
from darkhaloscope.learn.ranks import Ranks
from darkhaloscope.schema import HOST, PIXELS, PSF_IMAGE

_MOST_TIMES = 8
"""More than a heavy host is taken in one pass, see pairs.weighted."""

Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class OnTheFly:
    """Windows of hosts, in an order of each pass's own, with what their pass draws behind them.

    folder : of the hosts' columns and pixels, which processes share; cutouts, bank : digests
    """

    folder: Path
    bank_path: Path
    bank: str
    cutouts: str
    plan: Plan
    inject: Inject
    seed: int
    window_hosts: int
    min_theta_over_psf: float
    hosts: int
    device: str = "cpu"

    @classmethod
    def of(
        cls,
        folder: Path,
        stamps: Path,
        cutouts: Path,
        bank: Path,
        size: int,
        cfg: Train,
        ranks: Ranks,
    ) -> Self:
        """As a stamp set was planned and made, on the hosts of its split train.

        folder : where the hosts are put for all processes; size : of the set's stamps, pix

        Raises DhsError if cutouts or bank are not the set's, or its plan is of no such kind
        """
        record = record_of_stamps(stamps)
        store = open_cutouts(cutouts)
        digest = open_bank(bank).digest()
        for what, theirs, ours, path in (
            ("cutouts", record["cutouts"], store.digest, cutouts),
            ("bank", record["bank"], digest, bank),
        ):
            if theirs != ours:
                raise DhsError(
                    f"{stamps} was not made from {path}: its {what} has another digest; give the "
                    "one that it was made from"
                )
        plan = build(Plan, json.loads(record["plan_config"]), f"{stamps} plan")
        if plan.tier != "train":
            raise DhsError(
                f"{stamps} is of tier {plan.tier}, a few hosts to look at; lenses on the fly are "
                "for tier train"
            )
        if ranks.first:
            _settle(folder, store, size)
        ranks.wait()
        hosts = len(_resident(folder))
        rows_a_host = 1 + sum(plan.controls.values())
        return cls(
            folder=folder,
            bank_path=bank,
            bank=digest,
            cutouts=store.digest,
            plan=plan,
            inject=build(Inject, json.loads(record["config"]), f"{stamps} config"),
            seed=cfg.seed,
            window_hosts=max(1, min(hosts, round(cfg.shuffle_rows / rows_a_host))),
            min_theta_over_psf=cfg.min_theta_over_psf,
            hosts=hosts,
            device=str(ranks.device),
        )

    @property
    def windows_per_pass(self) -> int:
        return -(-self.hosts // self.window_hosts)

    def window(self, number: int) -> Rows:
        if self.device != "cpu":
            return self._drawn(number)
        columns, images, _ = self.made(number)
        rows = Rows({name: columns[name] for name in COLUMNS}, images)
        return rows[self._order(number, columns)]

    def _order(self, number: int, columns: Columns) -> np.ndarray:
        """Rows of a window that the seeing can show, in the order in which they are shown."""
        least = self.min_theta_over_psf * columns["psf_fwhm_r_arcsec"]
        kept = np.flatnonzero(columns["theta_E_arcsec"] >= least)
        rng = generator(f"window-{number}", str(self.seed), "order of rows on the fly")
        return rng.permutation(kept)

    def _drawn(self, number: int) -> Rows:
        """Rows of a window whose light is still to be made, and their hosts in place of pixels."""
        with _one_thread():
            rows, where = self._planned(number)
        columns = _resident(self.folder).hosts.columns
        hosts = {name: values[where] for name, values in columns.items()}
        rows = complete(hosts | rows, open_bank(self.bank_path, self.bank), self.inject)
        good = may_be_used(rows)
        rows = {name: values[good] for name, values in rows.items()}
        return Rows(rows, where[good])[self._order(number, rows)]

    def finished(self, rows: Rows) -> Rows:
        if self.device == "cpu":
            return rows
        hosts = _resident(self.folder).hosts
        there = on_device(hosts, open_bank(self.bank_path, self.bank), self.device)
        return lit(rows, there, photon_noise=self.inject.photon_noise)

    def made(self, number: int) -> tuple[Columns, np.ndarray, Columns]:
        """As jobs.inject.injected: a window's rows, those of a pair together."""
        with _one_thread():
            made = list(self._pieces(number))
        usable, flagged = (
            {name: np.concatenate([some[of][name] for some in made]) for name in made[0][of]}
            for of in (0, 2)
        )
        return usable, np.concatenate([images for _, images, _ in made]), flagged

    def _pieces(self, number: int) -> Iterator[tuple[Columns, np.ndarray, Columns]]:
        hosts, bank = _resident(self.folder).hosts, open_bank(self.bank_path, self.bank)
        rows, where = self._planned(number)
        for few in in_pieces(rows["pair_id"]):
            its_rows = {name: values[few] for name, values in rows.items()}
            yield injected(its_rows, hosts[where[few]], bank, self.inject)

    def _planned(self, number: int) -> tuple[Columns, np.ndarray]:
        """The plan's rows of a window, and the host of each."""
        resident = _resident(self.folder)
        hosts, redshifts = resident.hosts.columns, resident.redshifts
        chosen, replicate = weighted(*self._hosts_of(number), hosts, redshifts, self.plan)
        galaxies = galaxies_of(self.bank_path, self.bank)
        drawn = draw_pairs(chosen, replicate, hosts, redshifts, galaxies, self.plan)
        rows = rows_of_pairs(drawn, number, self.plan)
        return rows, np.array([resident.place[host] for host in rows["host_id"]])

    def _hosts_of(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Hosts of a window, and which of their pairs its pass draws."""
        around, place = divmod(number, self.windows_per_pass)
        rng = generator(f"pass-{around}", str(self.seed), "order of hosts")
        start = place * self.window_hosts
        chosen = rng.permutation(self.hosts)[start : start + self.window_hosts]
        turn, which = divmod(around, self.plan.pairs_per_host)
        return chosen, np.full(len(chosen), which + _MOST_TIMES * self.plan.pairs_per_host * turn)

    def executor(self, workers: int) -> Executor:
        return processes(workers)


@dataclass(frozen=True)
class Resident:
    """All hosts of the split train, in stamp coordinates, pixels in shared memory.

    redshifts : what is known of them, see pairs.redshifts_of; place : of each host by its name
    """

    hosts: Hosts
    redshifts: np.ndarray
    place: dict[str, int]

    def __len__(self) -> int:
        return len(self.place)


_TABLE, _PIXELS = "hosts.parquet", ("images", "invvar")
_COLUMNS = (*HOST, *PSF_IMAGE, PIXELS[0])


@lru_cache(maxsize=1)
def _resident(folder: Path) -> Resident:
    """As `_settle` left them."""
    columns = columns_of(read_table(folder / _TABLE, _COLUMNS))
    images, invvar = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in _PIXELS)
    place = {host: i for i, host in enumerate(columns["host_id"])}
    return Resident(Hosts(columns, images, invvar), redshifts_of(columns), place)


def _settle(folder: Path, store: CutoutStore, size: int) -> None:
    """Write the hosts where all processes find them, if they are not there; the table is last.

    Raises DhsError if a cutout file is missing or damaged, or no host is of the split train
    """
    if metadata_of(folder / _TABLE).get(_FROM) == f"{store.digest}-{size}":
        return
    folder.mkdir(parents=True, exist_ok=True)
    found = [some for name in store.rows if (some := _hosts_of_file(store, name, size)) is not None]
    if not found:
        raise DhsError(f"{store.folder} holds no luminous galaxy of the split train")
    for name in _PIXELS:
        with whole(folder / f"{name}.npy") as temporary, temporary.open("wb") as stream:
            np.save(stream, np.concatenate([getattr(hosts, name) for hosts in found]))
    columns = {c.name: np.concatenate([hosts.columns[c.name] for hosts in found]) for c in _COLUMNS}
    write_table(folder / _TABLE, columns, _COLUMNS, {_FROM: f"{store.digest}-{size}"})


_FROM = "dhs.cutouts"


def _hosts_of_file(store: CutoutStore, name: str, size: int) -> Hosts | None:
    columns = read_hosts(store.folder / name, size)
    chosen = (columns["split"] == "train") & (columns["host_kind"] == "luminous")
    if not chosen.any():
        return None
    hosts = read_pixels(store, name, columns["host_id"][chosen].astype(str), size)
    if (hosts.columns["host_flags"] & int(PASSING)).any():
        raise DhsError(
            f"{store.folder / name} is missing or altered; copy it or run `dhs cutouts` again"
        )
    return hosts


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Of torch, for a block: the last bits of what is made depend on it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
