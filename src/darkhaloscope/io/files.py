"""Whole files only: everything is written under a temporary name and renamed."""

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from darkhaloscope.errors import DhsError

_TEMPORARY = ".partial"


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that becomes it when the block ends well, and goes if not.

    Raises DhsError if the file system refuses: full disk, no permission.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{_TEMPORARY}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise DhsError(
            f"cannot write {path}: {_reason(error)}; free space or choose another place, "
            "then run the same command again: files already whole are kept"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _reason(error: OSError) -> str:
    """The system's own words; libraries wrap them in paragraphs and drop the number."""
    words = os.strerror(errno.ENOSPC)
    return words if words in str(error) else error.strerror or str(error)


def sweep(folder: Path) -> None:
    """Remove what a killed run left under temporary names."""
    for leftover in folder.glob(f".*{_TEMPORARY}"):
        leftover.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    with whole(path) as temporary:
        temporary.write_text(text)


def write_json(path: Path, content: Any) -> None:
    write_text(path, json.dumps(content, indent=1, sort_keys=True) + "\n")


def read_json(path: Path) -> Any:
    """Raises DhsError if the file is missing or is not JSON."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DhsError(f"{path}: cannot be read as JSON: {error}") from error


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
