"""A folder of files of any kind, made in batches: a batch is done when its commit is there.

Parquet parts carry their commits in themselves (io/parts.py). Tar, FITS and other people's Parquet
cannot, so each batch's commit is a small file of its own, written after the files that it names.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from darkhaloscope.io.files import read_json, sha256, whole, write_json
from darkhaloscope.io.parts import RECORD, Commit, digest_of_sums

COMMITS_DIR = "commits"


@dataclass
class Made:
    """Files of one batch, as they are written."""

    folder: Path
    sums: dict[str, str] = field(default_factory=dict)
    bytes: int = 0

    @contextlib.contextmanager
    def file(self, name: str) -> Iterator[Path]:
        """A temporary path that becomes the folder's file `name` when the block ends well."""
        with whole(self.folder / name) as temporary:
            yield temporary
            self.sums[name] = sha256(temporary)
            self.bytes += temporary.stat().st_size


@dataclass(frozen=True)
class MadeStore:
    """A claimed folder; `identity` says what its files were made from."""

    folder: Path
    identity: dict[str, Any]

    def commit(self, part: int, made: Made, counts: Mapping[str, Any]) -> Commit:
        """Write down that a batch is whole, and return its commit."""
        said = {**counts, "files": made.sums}
        write_json(self._path(part), said)
        return Commit(part, said, digest_of_sums(made.sums), made.bytes)

    def present(self) -> set[int]:
        """Numbers of the batches that are done."""
        return {int(path.stem) for path in (self.folder / COMMITS_DIR).glob("*.json")}

    def glance(self, part: int) -> Commit | None:
        """What a batch's commit says; None if it is not there."""
        path = self._path(part)
        return Commit(part, read_json(path)) if path.exists() else None

    def kept(self, part: int) -> Commit | None:
        """The commit of a batch whose files are all there with the bytes that it names."""
        seen = self.glance(part)
        if seen is None:
            return None
        sums: dict[str, str] = seen.counts["files"]
        paths = {name: self.folder / name for name in sums}
        if not all(path.exists() and sha256(path) == sums[name] for name, path in paths.items()):
            return None
        size = sum(path.stat().st_size for path in paths.values())
        return Commit(part, seen.counts, digest_of_sums(sums), size, kept=True)

    def write_record(self, commits: Sequence[Commit], **counts: Any) -> str:
        """The run record, with the SHA-256 of every file; returns the digest over them."""
        sums = {name: value for commit in commits for name, value in commit.counts["files"].items()}
        digest = digest_of_sums(sums)
        write_json(
            self.folder / RECORD, {**self.identity, **counts, "files": sums, "digest": digest}
        )
        return digest

    def _path(self, part: int) -> Path:
        return self.folder / COMMITS_DIR / f"{part:05d}.json"
