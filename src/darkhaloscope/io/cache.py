"""Files that every process of a host shares: fetched once, under a lock, and checked."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import cast

from upath import UPath

from darkhaloscope.errors import DhsError
from darkhaloscope.io.files import alone, faults, is_remote, sha256

FOLDER = "DHS_CACHE"
"""Environment variable that names the folder; else it is among the system's temporary files."""


@lru_cache(maxsize=4)
def on_this_host(path: Path, digest: str = "") -> Path:
    """The file on this machine's disk, fetched if it lies in a store and was not yet.

    digest : SHA-256 that it must have; without one the file is taken as it is
    Raises DhsError if it is not there, or has another digest
    """
    if not is_remote(path):
        return _checked(path, digest) if digest else path
    with _locked(path, digest) as place:
        if not (digest and place.exists() and sha256(place) == digest):
            _fetch(path, place)
        return _checked(place, digest, path)


def _fetch(path: Path, place: Path) -> None:
    source = cast(UPath, path)
    partial = place.with_suffix(".partial")
    try:
        source.fs.get_file(source.path, str(partial))
        os.replace(partial, place)
    except faults() as error:
        raise DhsError(f"{path}: cannot be fetched: {error}; is the address right?") from error
    finally:
        partial.unlink(missing_ok=True)


def _checked(place: Path, digest: str, source: Path | None = None) -> Path:
    if not place.is_file():
        raise DhsError(
            f"{place} does not exist on {os.uname().nodename}; copy it there, or give an address "
            "that every host can reach"
        )
    if digest and (found := sha256(place)) != digest:
        raise DhsError(
            f"{source or place} on {os.uname().nodename} has SHA-256 {found[:16]} where "
            f"{digest[:16]} is wanted: it is damaged, or another file; copy it again"
        )
    return place


@contextlib.contextmanager
def _locked(path: Path, digest: str) -> Iterator[Path]:
    """The file's place in this host's folder, which no other process touches meanwhile."""
    default = Path(tempfile.gettempdir()) / f"darkhaloscope-{os.getuid()}"
    folder = Path(os.environ.get(FOLDER, default))
    name = f"{digest[:16] or 'latest'}-{path.name}"
    with alone(folder / f".{name}.lock"):
        yield folder / name
