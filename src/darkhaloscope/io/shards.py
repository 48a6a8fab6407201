"""Tar shards as the WebDataset convention has them, the same bytes whenever they are written.

https://github.com/webdataset/webdataset: files of one sample follow one another, and share their
name up to its first dot.
"""

import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote

Sample = Mapping[str, bytes]
"""Content by extension."""


def key_of(task_id: str) -> str:
    """A task's name as a file name without dot or slash, which `urllib.parse.unquote` reads back.

    A dot would end the key, so that samples of `host.1` and `host.2` would become one.
    """
    return quote(task_id, safe=" ").replace(".", "%2E")


def write_shard(path: Path, samples: Iterable[tuple[str, Sample]]) -> None:
    """One tar file of (task_id, content by extension), in the order given; no owner, no clock."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for task_id, sample in samples:
            for extension in sorted(sample):
                about = tarfile.TarInfo(f"{key_of(task_id)}.{extension}")
                about.size = len(sample[extension])
                tar.addfile(about, io.BytesIO(sample[extension]))
