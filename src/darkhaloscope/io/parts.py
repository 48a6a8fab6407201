"""A folder of parts: one Parquet file each, done when it exists with the right digest.

So a run can be killed anywhere and started again, and two different runs never mix.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from darkhaloscope.errors import DhsError
from darkhaloscope.io.files import read_json, sha256, sweep, write_json
from darkhaloscope.io.tables import DIGEST_KEY, metadata_of
from darkhaloscope.keys import digest_of

IDENTITY = "identity.json"
RECORD = "run.json"


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

    def is_done(self, part: int) -> bool:
        """Whether the part is there, and the bytes that the run record knows, if there is one."""
        path = self.path(part)
        if metadata_of(path).get(DIGEST_KEY) != self.digest:
            return False
        known = self._recorded.get(path.name)
        return known is None or known == sha256(path)

    @cached_property
    def _recorded(self) -> dict[str, str]:
        record = self.folder / RECORD
        return read_json(record).get("parts", {}) if record.exists() else {}

    def write_record(self, **counts: Any) -> str:
        """The run record, with the bytes of every part; returns the digest over them."""
        sums = {path.name: sha256(path) for path in parts_in(self.folder)}
        digest = digest_of_sums(sums)
        write_json(
            self.folder / RECORD, {**self.identity, **counts, "parts": sums, "digest": digest}
        )
        return digest

    def metadata(self) -> dict[str, str]:
        """What every part carries."""
        return {DIGEST_KEY: self.digest} | {f"dhs.{k}": str(v) for k, v in self.identity.items()}


def claim(folder: Path, identity: dict[str, Any]) -> PartStore:
    """Take a folder for one run, or go on with the same run.

    Raises DhsError if the folder holds another run's parts, or files that no run made
    """
    if folder.exists() and not folder.is_dir():
        raise DhsError(f"{folder} is a file; name a folder")
    present = folder / IDENTITY
    if present.exists():
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
    sweep(folder)
    return PartStore(folder, identity)


def parts_in(folder: Path) -> list[Path]:
    """The parts of a store, in order. Raises DhsError if there is none."""
    found = sorted(folder.glob("part-*.parquet"))
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
