"""Every random choice comes from a generator keyed by (task, salt, purpose).

Nothing depends on order, partition, process or engine: the same key gives the same numbers
anywhere. BLAKE2b makes the key, NumPy's counter-based Philox the numbers.
"""

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np


def digest_of(*parts: str | bytes) -> str:
    """Hex BLAKE2b-128 of `parts`, unambiguous about where each one ends."""
    h = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        h.update(len(data).to_bytes(8, "little"))
        h.update(data)
    return h.hexdigest()


def generator(task_id: str, salt: str = "", purpose: str = "") -> np.random.Generator:
    """A generator of its own for one task and one purpose."""
    return next(generators([task_id], salt, purpose))


def generators(
    task_ids: Iterable[str], salt: str = "", purpose: str = ""
) -> Iterator[np.random.Generator]:
    """The generator of each task, one after another: each ends where the next one is taken.

    A tenth of the time of making every one anew: it is one generator, given one key after another.
    """
    bits = np.random.Philox(key=0)
    state, rng = bits.state, np.random.Generator(bits)
    for task_id in task_ids:
        key = bytes.fromhex(digest_of(task_id, salt, purpose))
        state["state"]["key"] = np.frombuffer(key, ">u8")[::-1].astype(np.uint64)
        bits.state = state
        yield rng


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


def balanced_split(names: list[str], fractions: tuple[float, float, float], salt: str) -> list[str]:
    """Give each name train, val or test so that the fractions hold to the nearest count.

    Names are ranked by their hash, so the outcome does not depend on their order.
    """
    rank = {name: i for i, name in enumerate(sorted(names, key=lambda s: digest_of(s, salt)))}
    edges = np.round(np.cumsum(fractions) * len(names))
    words = ("train", "val", "test")
    return [words[int(np.searchsorted(edges, rank[name], side="right"))] for name in names]
