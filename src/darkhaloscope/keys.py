"""Every random choice comes from a generator keyed by (task, salt, purpose).

Nothing depends on order, partition, process or engine: the same key gives the same numbers
anywhere. BLAKE2b makes the key, NumPy's counter-based Philox the numbers.
"""

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np

_PER_COUNT = 4
"""Numbers that Philox makes of one count of its counter."""


def digest_of(*parts: str | bytes) -> str:
    """Hex BLAKE2b-128 of `parts`, unambiguous about where each one ends."""
    return _hash(*parts).hexdigest()


def _hash(*parts: str | bytes) -> "hashlib.blake2b":
    data = [part.encode() if isinstance(part, str) else part for part in parts]
    framed = b"".join(len(some).to_bytes(8, "little") + some for some in data)
    return hashlib.blake2b(framed, digest_size=16)


def generator(task_id: str, salt: str = "", purpose: str = "") -> np.random.Generator:
    """A generator of its own for one task and one purpose."""
    return np.random.Generator(np.random.Philox(key=_key(task_id, salt, purpose)))


def _key(task_id: str, salt: str, purpose: str) -> np.ndarray:
    """Two 64-bit words, the lower first."""
    digest = _hash(task_id, salt, purpose).digest()
    return np.frombuffer(digest, ">u8")[::-1].astype(np.uint64)


def generators(
    task_ids: Iterable[str], salt: str = "", purpose: str = ""
) -> Iterator[np.random.Generator]:
    """The generator of each task, one after another: each ends where the next one is taken.

    A tenth of the time of making every one anew: it is one generator, given one key after another.
    """
    rekeyed = _Rekeyed()
    for task_id in task_ids:
        yield rekeyed(_key(task_id, salt, purpose))


class _Rekeyed:
    """One generator, set to one key and count after another."""

    def __init__(self):
        self._bits = np.random.Philox(key=0)
        self._state, self._rng = self._bits.state, np.random.Generator(self._bits)

    def __call__(self, key: np.ndarray, count: int = 0) -> np.random.Generator:
        self._state["state"] = {"key": key, "counter": np.array([count, 0, 0, 0], np.uint64)}
        self._bits.state = self._state
        return self._rng


class Uniforms:
    """Numbers of many tasks in [0, 1), wherever one stopped: what each `generator`.random gives."""

    def __init__(self, task_ids: Iterable[str], salt: str = "", purpose: str = ""):
        self._keys = [_key(task_id, salt, purpose) for task_id in task_ids]
        self._rekeyed = _Rekeyed()

    def __call__(self, tasks: Iterable[int], skip: int, n: int) -> np.ndarray:
        """Of each task, by number, `n` after the first `skip`, a multiple of 4: (task, n)."""
        if skip % _PER_COUNT:
            raise ValueError(f"skip must be a multiple of {_PER_COUNT}, got {skip}")
        count = skip // _PER_COUNT
        found = [self._rekeyed(self._keys[task], count).random(n) for task in tasks]
        return np.array(found).reshape(-1, n)


def template_choice(task_id: str, salt: str, n: int) -> int:
    """Which of `n` templates a task uses: BLAKE2b of the id and the salt, little-endian, mod n.

    Raises ValueError if there is nothing to choose from.
    """
    if n < 1:
        raise ValueError(f"cannot choose one of {n} templates; the bank's split is empty")
    h = hashlib.blake2b(f"{task_id}{salt}".encode(), digest_size=8).digest()
    return int.from_bytes(h, "little") % n


def unit_interval(name: str, salt: str = "") -> float:
    """A number in [0, 1) that belongs to `name`, for splits."""
    return int(digest_of(name, salt)[:13], 16) / 16.0**13


def intervals(names: Iterable[str], salt: str, n: int) -> np.ndarray:
    """`n` <= 8 numbers in [0, 1) that belong to each name: (name, n)."""
    digests = (hashlib.blake2b(f"{name}/{salt}".encode(), digest_size=8 * n) for name in names)
    words = np.frombuffer(b"".join(digest.digest() for digest in digests), "<u8")
    return (words >> 11).reshape(-1, n) / 2.0**53


def balanced_split(names: list[str], fractions: tuple[float, float, float], salt: str) -> list[str]:
    """Give each name train, val or test so that the fractions hold to the nearest count.

    Names are ranked by their hash, so the outcome does not depend on their order.
    """
    rank = {name: i for i, name in enumerate(sorted(names, key=lambda s: digest_of(s, salt)))}
    edges = np.round(np.cumsum(fractions) * len(names))
    words = ("train", "val", "test")
    return [words[int(np.searchsorted(edges, rank[name], side="right"))] for name in names]
