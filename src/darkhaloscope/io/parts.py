"""A folder of parts: one Parquet file each, done when it exists with the right digest.

So a run can be killed anywhere and started again, and two different runs never mix.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from darkhaloscope.errors import DhsError
from darkhaloscope.io.files import faults, is_remote, read_json, sha256, sweep, write_json
from darkhaloscope.io.tables import DIGEST_KEY, TableWriter, metadata_of, table_writer
from darkhaloscope.keys import digest_of
from darkhaloscope.schema import Column

IDENTITY = "identity.json"
RECORD = "run.json"
QUARANTINE_DIR = "quarantine"
PARTS = "part-*.parquet"
COUNTS_KEY = "dhs.counts"
"""Of a part's metadata: what its job counted while making it, as JSON."""


@dataclass(frozen=True)
class Commit:
    """What a finished part reports."""

    part: int
    counts: Mapping[str, Any]
    sha256: str = ""
    """Of the part's bytes; empty in a glance at a part that others are making."""
    bytes: int = 0
    seconds: float = 0.0
    kept: bool = False
    """An earlier run made it."""


@dataclass(frozen=True)
class PartStore:
    """A claimed folder; `identity` says what its parts were made from."""

    folder: Path
    identity: dict[str, Any]

    @property
    def digest(self) -> str:
        return digest_of(*(f"{key}={self.identity[key]}" for key in sorted(self.identity)))

    def path(self, part: int) -> Path:
        return self.folder / f"part-{part:05d}.parquet"

    def quarantine(self, part: int) -> Path:
        """Where the rows of a part go that cannot be used."""
        return self.folder / QUARANTINE_DIR / self.path(part).name

    def write(
        self,
        part: int,
        rows: Sequence[Mapping] | Mapping[str, Sequence | np.ndarray],
        columns: tuple[Column, ...],
        counts: Mapping[str, Any],
    ) -> Commit:
        """A whole part in one go; what its job counted travels in its metadata."""
        with self.writer(part, columns) as writer:
            writer.add(rows)
            writer.note(COUNTS_KEY, counts)
        return self.committed(part, counts, writer)

    def writer(self, part: int, columns: tuple[Column, ...]):
        """A part to be written piece by piece, see tables.table_writer."""
        return table_writer(self.path(part), columns, self.metadata())

    def committed(self, part: int, counts: Mapping[str, Any], writer: TableWriter) -> Commit:
        """The commit of what a writer wrote."""
        return Commit(part, counts, writer.sha256, writer.bytes)

    def is_done(self, part: int) -> bool:
        """Whether the part is there, and the bytes that the run record knows, if there is one."""
        path = self.path(part)
        if metadata_of(path).get(DIGEST_KEY) != self.digest:
            return False
        known = self._recorded.get(path.name)
        return known is None or known == sha256(path)

    def kept(self, part: int) -> Commit | None:
        """The commit of a part that an earlier run made, its bytes read; None if it is to be made.

        A part that the run record knows with other bytes was altered, and is to be made again
        """
        seen = self.glance(part)
        if seen is None:
            return None
        digest = sha256(self.path(part))
        if self._recorded.get(self.path(part).name, digest) != digest:
            return None
        return Commit(part, seen.counts, digest, kept=True)

    def glance(self, part: int) -> Commit | None:
        """What a part of this run says of itself, from its last bytes; None if it is not there."""
        notes = metadata_of(self.path(part))
        if notes.get(DIGEST_KEY) != self.digest:
            return None
        return Commit(part, json.loads(notes.get(COUNTS_KEY, "{}")))

    def present(self) -> set[int]:
        """Numbers of the parts that are there, made by whichever run."""
        return {int(path.stem.removeprefix("part-")) for path in self.folder.glob(PARTS)}

    @cached_property
    def _recorded(self) -> dict[str, str]:
        record = self.folder / RECORD
        return read_json(record).get("parts", {}) if record.exists() else {}

    def write_record(self, commits: Sequence[Commit] | None = None, **counts: Any) -> str:
        """The run record, with the digest of every part's bytes; returns the digest over them.

        commits : of every part; without them the parts are read
        """
        if commits is None:
            sums = {path.name: sha256(path) for path in parts_in(self.folder)}
        else:
            sums = {self.path(commit.part).name: commit.sha256 for commit in commits}
        digest = digest_of_sums(sums)
        write_json(
            self.folder / RECORD, {**self.identity, **counts, "parts": sums, "digest": digest}
        )
        return digest

    def metadata(self) -> dict[str, str]:
        """What every part carries."""
        return {DIGEST_KEY: self.digest} | {f"dhs.{k}": str(v) for k, v in self.identity.items()}


def claim(folder: Path, identity: dict[str, Any], shared: bool = False) -> PartStore:
    """Take a folder for one run, or go on with the same run.

    shared : others may be at work in it, so that what looks left over stays
    Raises DhsError if the folder holds another run's parts, or files that no run made
    """
    if not is_remote(folder) and folder.exists() and not folder.is_dir():
        raise DhsError(f"{folder} is a file; name a folder")
    present = folder / IDENTITY
    if _reached(present, "is the address right, and may you write?"):
        theirs = read_json(present)
        differing = sorted(k for k in theirs | identity if theirs.get(k) != identity.get(k))
        if differing:
            raise DhsError(
                f"{folder} holds the parts of another run: {', '.join(differing)} differ; "
                "choose another folder, or remove this one"
            )
    elif folder.exists() and any(not p.name.startswith(".") for p in folder.iterdir()):
        raise DhsError(f"{folder} is not empty and holds no run; choose an empty or new folder")
    else:
        write_json(present, identity)
    if not shared:
        sweep(folder)
    return PartStore(folder, identity)


def record_of(folder: Path, stage: str | tuple[str, ...], what: str, verb: str) -> dict[str, Any]:
    """The run record of a folder that a stage finished.

    stage : as records have it, or several that will do; what : a word for its output; verb : the
        command that makes it
    Raises DhsError if it is not finished, another stage's, or its place does not answer
    """
    if not _reached(folder / RECORD, "is the address right?"):
        raise DhsError(f"{folder} holds no finished {what} (no {RECORD}); finish `{verb}`")
    record = read_json(folder / RECORD)
    if record.get("stage") not in ((stage,) if isinstance(stage, str) else stage):
        raise DhsError(
            f"{folder} is no {what} but a {record.get('stage')} folder; give one of `{verb}`"
        )
    return record


def _reached(path: Path, advice: str) -> bool:
    """Whether the file exists. Raises DhsError if its place does not answer, or refuses."""
    try:
        return path.exists()
    except faults() as error:
        raise DhsError(f"{path.parent}: {error}; {advice}") from error


def parts_in(folder: Path) -> list[Path]:
    """The parts of a store, in order. Raises DhsError if there is none."""
    found = sorted(folder.glob(PARTS), key=lambda path: path.name)
    if not found:
        raise DhsError(f"{folder} holds no part-*.parquet; is it the output of an earlier stage?")
    return found


def digest_of_parts(folder: Path) -> str:
    """One digest for the bytes of all parts, in order."""
    return digest_of_sums({path.name: sha256(path) for path in parts_in(folder)})


def digest_of_sums(sums: dict[str, str]) -> str:
    """One digest for parts by name and SHA-256."""
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(sums.items()))
    return hashlib.sha256(lines.encode()).hexdigest()
