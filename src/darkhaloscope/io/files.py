"""Whole files only, on this machine or in an object store.

Everything is written under a temporary name and renamed; a store takes a file whole or not at all.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from upath import UPath

from darkhaloscope.errors import DhsError

_TEMPORARY = ".partial"
_PATIENCE_S = 30
_TRIES = 8


def at(address: str | Path) -> Path:
    """A file or folder by its path or its address, `s3://bucket/stamps`.

    What an address gives is no `pathlib.Path`, but has its methods.
    Raises DhsError for a protocol that is not known
    """
    text = str(address)
    if not is_remote(address):
        return Path(text)
    options: dict[str, Any] = {"use_listings_cache": False}
    if text.startswith(("s3://", "s3a://")):
        again = {"max_attempts": _TRIES, "mode": "standard"}
        wait = {"connect_timeout": _PATIENCE_S, "read_timeout": _PATIENCE_S}
        options |= {"default_cache_type": "bytes", "config_kwargs": {"retries": again, **wait}}
    try:
        return cast(Path, UPath(text, **options))
    except (ValueError, ImportError) as error:
        raise DhsError(f"{text}: {error}; known are folders and s3:// addresses") from error


def is_remote(path: str | Path) -> bool:
    """Whether it lies in an object store, not in this machine's file system."""
    return "://" in str(path)


def faults() -> tuple[type[BaseException], ...]:
    """What reading and writing raise when a file system or a store refuses; for `except`."""
    if "botocore" in sys.modules:
        return OSError, sys.modules["botocore"].exceptions.BotoCoreError
    return (OSError,)


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary path that becomes the file `path` when the block ends well, and goes if not.

    Raises DhsError if the file system or the store refuses: full disk, no permission, no answer.
    """
    try:
        with _uploaded(path) if is_remote(path) else _renamed(path) as temporary:
            yield temporary
    except faults() as error:
        raise DhsError(
            f"cannot write {path}: {_reason(error)}; free space or choose another place, "
            "then run the same command again: files already whole are kept"
        ) from error


@contextlib.contextmanager
def _renamed(path: Path) -> Iterator[Path]:
    writer = f"{socket.gethostname()}-{os.getpid()}"  # other hosts may share the folder
    temporary = path.with_name(f".{path.name}.{writer}{_TEMPORARY}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _uploaded(path: Path) -> Iterator[Path]:
    target = cast(UPath, path)
    with tempfile.TemporaryDirectory(prefix="darkhaloscope-") as folder:
        temporary = Path(folder) / path.name
        yield temporary
        target.fs.put_file(str(temporary), target.path)


def _reason(error: BaseException) -> str:
    """The system's own words; libraries wrap them in paragraphs and drop the number."""
    words = os.strerror(errno.ENOSPC)
    return words if words in str(error) else getattr(error, "strerror", None) or str(error)


def sweep(folder: Path) -> None:
    """Remove what a killed run left under temporary names."""
    if is_remote(folder):  # a store holds whole files only
        return
    for leftover in folder.rglob(f".*{_TEMPORARY}"):
        leftover.unlink(missing_ok=True)


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold a lock file for the length of a block, waiting while another process holds it.

    Between machines as far as their shared file system locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def write_text(path: Path, text: str) -> None:
    with whole(path) as temporary:
        temporary.write_text(text)


def write_json(path: Path, content: Any) -> None:
    write_text(path, json.dumps(content, indent=1, sort_keys=True) + "\n")


def read_json(path: Path) -> Any:
    """Raises DhsError if the file is missing or is not JSON."""
    try:
        return json.loads(path.read_text())
    except (*faults(), ValueError) as error:
        raise DhsError(f"{path}: cannot be read as JSON: {error}") from error


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()
