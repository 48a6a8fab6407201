"""Streams of training rows: every row once a pass, the same whoever makes them, resumable."""

from collections import Counter
from itertools import chain, islice

import numpy as np
import pyarrow.parquet as pq
import pytest

from darkhaloscope.errors import DhsError
from darkhaloscope.io.parts import parts_in
from darkhaloscope.jobs.stamps import images_of
from darkhaloscope.learn.source import Place, Stream
from darkhaloscope.learn.stored import Stored, columns_of_index, in_order, index_of

BATCH = 16
_START = Place()


@pytest.fixture(scope="module")
def index(stamps):
    return index_of(stamps, "train")


def _names(stream: Stream, n: int, start: Place = _START) -> list[list[str]]:
    """Task ids of the first n batches."""
    batches = stream.batches(start)
    found = [rows.columns["task_id"].tolist() for rows, _ in islice(batches, n)]
    batches.close()
    return found


def _stored(index, window=40, seed=1):
    return Stored(index, seed, window)


def test_every_row_comes_once_a_pass_and_in_another_order_in_the_next(index):
    n = len(index)
    flat = list(chain(*_names(Stream(_stored(index), 1, workers=0), 2 * n)))
    assert set(Counter(flat[:n]).values()) == set(Counter(flat[n:]).values()) == {1}
    assert len(set(flat)) == n and flat[:n] != flat[n:]
    assert set(flat) == {t for rows in in_order(index, 50) for t in rows.columns["task_id"]}


def test_pixels_are_those_of_the_row(index, stamps):
    rows, _ = next(Stream(_stored(index), BATCH, workers=0).batches())
    images = images_of(stamps, rows.columns["task_id"])
    for task, image in zip(rows.columns["task_id"], rows.images, strict=True):
        assert np.array_equal(image, images[task])


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_do_not_change_the_stream(index, workers):
    alone = _names(Stream(_stored(index), BATCH, workers=0), 15)
    assert _names(Stream(_stored(index), BATCH, workers=workers), 15) == alone


@pytest.mark.parametrize("taken", [1, 4, 9, 14])
def test_a_stream_goes_on_from_any_place(index, taken):
    stream = Stream(_stored(index), BATCH, workers=0)
    batches = stream.batches()
    for _ in range(taken):
        _, place = next(batches)
    assert _names(stream, 5, place) == _names(stream, taken + 5)[taken:]


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_a_pass_without_doubling(index, world):
    window = 17
    shares = []
    for rank in range(world):
        stream = Stream(_stored(index, window), 1, rank, world, workers=0)
        windows = range(rank, _stored(index, window).windows_per_pass, world)
        rows = sum(len(_stored(index, window).window(w)) for w in windows)
        shares.append(list(chain(*_names(stream, rows))))
    flat = list(chain(*shares))
    assert len(flat) == len(set(flat)) == len(index)


def test_seeds_give_other_orders(index):
    one, other = (_names(Stream(_stored(index, seed=s), BATCH, workers=0), 6) for s in (1, 2))
    assert one != other


def test_a_window_is_well_mixed(stamps, index):
    """Rows of a pair, which lie together on disk, are no nearer than chance has them."""
    rows = _stored(index, len(index)).window(0)
    pair = rows.columns["pair_id"]
    beside = float((pair[1:] == pair[:-1]).mean())
    expected = 5 / (len(pair) - 1)  # a row has five others of its pair
    assert beside < 3 * expected
    lens = (rows.columns["kind"] == "lens").astype(float)
    halves = lens[: len(lens) // 2].sum(), lens[len(lens) // 2 :].sum()
    assert abs(halves[0] - halves[1]) <= 3 * np.sqrt(lens.sum())


def test_small_lenses_go_with_their_pairs(stamps):
    every, some = index_of(stamps, "train"), index_of(stamps, "train", 1.0)
    columns = columns_of_index(every, ["theta_E_arcsec", "psf_fwhm_r_arcsec"])
    kept = columns["theta_E_arcsec"] >= columns["psf_fwhm_r_arcsec"]
    assert 0 < len(some) == kept.sum() < len(every)
    kinds = Counter(columns_of_index(some, ["kind"])["kind"].tolist())
    assert len(set(kinds.values())) == 1  # all kinds of every pair, or none


def test_a_split_that_is_empty_is_refused(stamps):
    with pytest.raises(DhsError, match="no row of split train with theta_E >= 9"):
        index_of(stamps, "train", 9.0)


def test_a_split_of_one_class_is_refused(stamps, tmp_path):
    table = pq.read_table(next(iter(parts_in(stamps))))
    only = table.filter(np.array(table["kind"].to_pylist()) != "lens")
    pq.write_table(only, tmp_path / "part-00000.parquet")
    with pytest.raises(DhsError, match=r"holds 0 lenses and \d+ controls: a finder needs both"):
        index_of(tmp_path, "train")
