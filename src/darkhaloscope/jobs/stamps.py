"""Reading a stamp set back: columns with simple metrics, and the pixels of chosen rows."""

from pathlib import Path

import numpy as np

from darkhaloscope.errors import DhsError
from darkhaloscope.evaluate.metrics import stamp_metrics
from darkhaloscope.io.parts import QUARANTINE_DIR, parts_in
from darkhaloscope.io.tables import columns_of, image_from, read_table
from darkhaloscope.jobs.progress import progress
from darkhaloscope.schema import BLOBS, STAMPS

Columns = dict[str, np.ndarray]


def read_columns(stamps: Path) -> Columns:
    """All columns but pixels, with `metric.<name>` from the pixels, part by part."""
    tables = []
    paths = parts_in(stamps)
    with progress("validate", len(paths), "parts") as advance:
        for path in paths:
            table = columns_of(read_table(path, STAMPS))
            images = _images(table)
            table = {name: values for name, values in table.items() if name not in BLOBS}
            if len(images):
                scale = float(table["pixel_scale_arcsec"][0])
                metrics = stamp_metrics(images, scale)
                tables.append(table | {f"metric.{k}": v for k, v in metrics.items()})
            advance(1)
    if not tables:
        raise DhsError(f"{stamps} holds no usable stamp; see its {QUARANTINE_DIR} for the causes")
    return {name: np.concatenate([t[name] for t in tables]) for name in tables[0]}


def images_of(stamps: Path, task_ids: set[str]) -> dict[str, np.ndarray]:
    """Pixels of the rows named, by task_id; only these are read."""
    images = {}
    for path in parts_in(stamps):
        table = columns_of(read_table(path, STAMPS, ["task_id", "image", "size_pix"]))
        for i in np.flatnonzero(np.isin(table["task_id"].astype(str), list(task_ids))):
            images[table["task_id"][i]] = image_from(table["image"][i], int(table["size_pix"][i]))
    return images


def psf_images_of(stamps: Path, task_ids: set[str]) -> dict[str, bytes]:
    """PSF images of the rows named, by task_id, as they are stored."""
    images = {}
    for path in parts_in(stamps):
        table = columns_of(read_table(path, STAMPS, ["task_id", "psf_image"]))
        for i in np.flatnonzero(np.isin(table["task_id"].astype(str), list(task_ids))):
            images[table["task_id"][i]] = table["psf_image"][i]
    return images


def _images(table: Columns) -> np.ndarray:
    pairs = zip(table["image"], table["size_pix"], strict=True)
    return np.array([image_from(data, int(size)) for data, size in pairs])
