"""Bytes of files in a folder, behind http(s), or in any store that fsspec knows, such as s3.

Whatever answers late, in part, or with "not now" is asked again, each time after a longer wait.
"""

import hashlib
import io
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol, cast

import fsspec
import urllib3
from urllib3.exceptions import HTTPError, MaxRetryError
from urllib3.util.retry import Retry

from darkhaloscope import __version__
from darkhaloscope.errors import DhsError
from darkhaloscope.io.files import whole

_BLOCK = 1 << 14
_LATER = (429, 500, 502, 503, 504)
_GONE = (404, 410)
_LONGEST_WAIT_S = 60


class Absent(Exception):
    """The store answers, and has no such file."""


class NoAnswer(Exception):
    """No whole answer, after all tries."""


@dataclass(frozen=True)
class Patience:
    """How long to wait, and how often to ask again."""

    timeout_s: float = 30.0
    tries: int = 5
    backoff_s: float = 1.0  # before the second try; doubles with every further one


class Files(Protocol):
    """A tree of files that can be read, wherever it is."""

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """Bytes of a file, fewer than `length` at its end only.

        Raises Absent if there is no such file, NoAnswer if it cannot be had now
        """
        ...

    def open(self, name: str) -> IO[bytes]:
        """A file to seek and read in; nothing is fetched that is not read. Raises as `read`."""
        ...


def files_at(root: str, patience: Patience) -> Files:
    """The tree at a folder or an address. Raises DhsError for no such folder or protocol."""
    if root.startswith(("http://", "https://")):
        return Web(root, patience)
    if "://" in root:
        return Bucket(root, patience)
    if not Path(root).is_dir():
        raise DhsError(f"{root} is not a folder; give a folder, or an http(s):// or s3:// address")
    return Folder(Path(root))


@dataclass(frozen=True)
class Folder:
    """A tree on this machine."""

    root: Path

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        with self.open(name) as stream:
            try:
                stream.seek(start)
                return stream.read(-1 if length is None else length)
            except OSError as error:
                raise NoAnswer(f"{self.root / name}: {error}") from error

    def open(self, name: str) -> IO[bytes]:
        try:
            return (self.root / name).open("rb")
        except FileNotFoundError as error:
            raise Absent(f"{self.root / name}") from error
        except OSError as error:
            raise NoAnswer(f"{self.root / name}: {error}") from error


class Web:
    """A tree behind a web server that knows byte ranges, or a service that answers queries."""

    def __init__(self, root: str, patience: Patience):
        self._root = root.rstrip("/")
        retry = Retry(
            total=patience.tries - 1,
            backoff_factor=patience.backoff_s,
            backoff_max=_LONGEST_WAIT_S,
            status_forcelist=_LATER,
            allowed_methods=("GET",),
            raise_on_status=False,
            retry_after_max=_LONGEST_WAIT_S,
        )
        self._pool = urllib3.PoolManager(
            maxsize=8,
            retries=retry,
            timeout=urllib3.Timeout(patience.timeout_s),
            headers={"User-Agent": f"darkhaloscope/{__version__}"},
        )

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        url = f"{self._root}/{name}"
        headers = {}
        if start or length is not None:
            last = "" if length is None else start + length - 1
            headers["Range"] = f"bytes={start}-{last}"
        try:
            answer = self._pool.request("GET", url, headers={**self._pool.headers, **headers})
        except (HTTPError, MaxRetryError) as error:
            raise NoAnswer(f"{url}: {_shortly(error)}") from error
        return _checked(answer, url, start, length)

    def open(self, name: str) -> IO[bytes]:
        return cast(IO[bytes], Blocks(self, name))


def _checked(answer, url: str, start: int, length: int | None) -> bytes:
    """The bytes asked for, of an answer with any status."""
    if answer.status in _GONE:
        raise Absent(url)
    if answer.status == 416:  # the range begins beyond the end
        return b""
    if answer.status == 206:
        return _whole_range(answer, url)
    if answer.status != 200:
        raise NoAnswer(f"{url}: the server says {answer.status} {answer.reason or ''}".strip())
    return answer.data[start:][:length]  # a server that knows no ranges sends all


def _whole_range(answer, url: str) -> bytes:
    """Raises NoAnswer if the body is not the range that the server says it is."""
    said = re.fullmatch(r"bytes (\d+)-(\d+)/(?:\d+|\*)", answer.headers.get("Content-Range", ""))
    if said and len(answer.data) != int(said[2]) - int(said[1]) + 1:
        raise NoAnswer(f"{url}: {len(answer.data)} bytes came of {said[0]}")
    return answer.data


def _shortly(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return f"{type(reason).__name__}: {reason}"


class Bucket:
    """A tree in an object store, through fsspec; its own client asks again where it must."""

    def __init__(self, root: str, patience: Patience):
        options = {}
        if root.startswith("s3://"):
            wait = {"connect_timeout": patience.timeout_s, "read_timeout": patience.timeout_s}
            again = {"max_attempts": patience.tries, "mode": "standard"}
            options = {"config_kwargs": {**wait, "retries": again}}
        try:
            self._store, self._root = fsspec.core.url_to_fs(root, **options)
        except (ValueError, ImportError) as error:
            raise DhsError(f"{root}: {error}; known are folders, http(s):// and s3://") from error

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        path = f"{self._root}/{name}"
        try:
            if length is None:
                return self._store.cat_file(path, start=start or None)
            return self._store.cat_file(path, start=start, end=start + length)
        except FileNotFoundError as error:
            raise Absent(path) from error
        except Exception as error:  # each store has exceptions of its own
            if start and start >= (self._store.size(path) or 0):
                return b""
            raise NoAnswer(f"{path}: {type(error).__name__}: {error}") from error

    def open(self, name: str) -> IO[bytes]:
        return cast(IO[bytes], Blocks(self, name))


class Blocks(io.RawIOBase):
    """A remote file that is fetched block by block, as it is read; blocks are kept."""

    def __init__(self, files: Files, name: str):
        self._files, self._name = files, name
        self._blocks: dict[int, bytes] = {}
        self._at = 0
        self._need(0, 1)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END:
            raise io.UnsupportedOperation("the length of a remote file is not asked for")
        self._at = int(offset) + (self._at if whence == io.SEEK_CUR else 0)
        return self._at

    def readinto(self, buffer) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            data = self._files.read(self._name, self._at)
        else:
            first, last = self._at // _BLOCK, (self._at + max(size, 1) - 1) // _BLOCK
            self._need(first, last + 1)
            held = b"".join(self._blocks[i] for i in range(first, last + 1))
            skip = self._at - first * _BLOCK
            data = held[skip : skip + size]
        self._at += len(data)
        return data

    def _need(self, first: int, end: int) -> None:
        """Fetch what is missing of these blocks, in one piece."""
        missing = [i for i in range(first, end) if i not in self._blocks]
        if not missing:
            return
        low, high = missing[0], missing[-1] + 1
        data = self._files.read(self._name, low * _BLOCK, (high - low) * _BLOCK)
        for i in range(low, high):
            self._blocks[i] = data[(i - low) * _BLOCK : (i + 1 - low) * _BLOCK]


@dataclass(frozen=True)
class Paced:
    """Whole files, no faster than a polite rate."""

    files: Files
    per_second: float
    last: list[float] = field(default_factory=list)  # when the last one was asked for

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        now = time.monotonic()
        due = self.last.pop() + 1 / self.per_second if self.last else now
        time.sleep(max(due - now, 0))
        self.last.append(max(due, now))
        return self.files.read(name, start, length)

    def open(self, name: str) -> IO[bytes]:
        return io.BytesIO(self.read(name))


@dataclass(frozen=True)
class Kept:
    """Whole files, each fetched once and kept in a folder for the next run."""

    files: Files
    folder: Path

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        path = self.folder / hashlib.sha256(name.encode()).hexdigest()[:40]
        if not path.exists():
            data = self.files.read(name)
            with whole(path) as temporary:
                temporary.write_bytes(data)
        data = path.read_bytes()[start:]
        return data if length is None else data[:length]

    def forget(self, name: str) -> None:
        """Fetch a file again next time: what came is of no use."""
        (self.folder / hashlib.sha256(name.encode()).hexdigest()[:40]).unlink(missing_ok=True)

    def open(self, name: str) -> IO[bytes]:
        return io.BytesIO(self.read(name))
