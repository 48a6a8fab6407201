"""Rows on their way to a network: pixels and what is known of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from darkhaloscope.config import META, View
from darkhaloscope.errors import DhsError
from darkhaloscope.schema import band_columns

PER_BAND = {"psf_fwhm": "psf_fwhm_{b}_arcsec", "sky_sigma": "sky_sigma_{b}_nmgy"}

COLUMNS = (
    *("task_id", "pair_id", "host_id", "kind", "split", "label"),
    *("theta_E_arcsec", "pixel_scale_arcsec"),
    *(name for pattern in PER_BAND.values() for name in band_columns(pattern)),
    *band_columns("psf_depth_{b}_mag"),
    "ebv_mag",
)
"""What training asks of a stamp beside its pixels."""


@dataclass(frozen=True)
class Rows:
    """Stamps with their columns, as sources give them."""

    columns: Mapping[str, np.ndarray]
    images: np.ndarray | Tensor  # (row, band, y, x) float32, nmgy; a tensor on a GPU

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows) -> "Rows":
        columns = {name: values[rows] for name, values in self.columns.items()}
        return Rows(columns, self.images[rows])


def known(rows: Rows, view: View) -> None:
    """Raises DhsError, naming them, if rows lack columns that a view shows or works with."""
    needed = [META[name] for name in view.meta_cols]
    if view.difference != "none":
        needed += [f"psf_fwhm_{band}_arcsec" for band in "gz"]
    if view.norm_method == "sky":
        needed += band_columns(PER_BAND["sky_sigma"])
    for name in needed:
        if name not in rows.columns or not np.isfinite(rows.columns[name].astype(float)).all():
            raise DhsError(
                f"the finder needs {name} of every row, and some lack it; give a stamp set or a "
                "cutout store, or FITS files with it in their table ROWS"
            )


def joined(some: Sequence[Rows]) -> Rows:
    """One after another."""
    if len(some) == 1:
        return some[0]
    names = some[0].columns
    columns = {name: np.concatenate([rows.columns[name] for rows in some]) for name in names}
    images = [rows.images for rows in some]
    tensors = [image for image in images if isinstance(image, Tensor)]
    return Rows(columns, torch.cat(tensors) if tensors else np.concatenate(images))


@dataclass(frozen=True)
class Batch:
    """Rows as tensors on one device; what is not known of them is NaN, a label 0.

    images : (row, band, y, x), nmgy; psf_fwhm : (row, band), arcsec; sky_sigma : (row, band), nmgy
    meta : (row, column), as View.meta_cols names them; label : (row,), 1 for a lens, else 0
    """

    images: Tensor
    psf_fwhm: Tensor
    sky_sigma: Tensor
    meta: Tensor
    label: Tensor
    pixel_scale: float

    @classmethod
    def of(cls, rows: Rows, view: View, device: torch.device | str = "cpu") -> "Batch":
        columns = rows.columns

        def there(values: np.ndarray | Tensor) -> Tensor:
            if isinstance(values, Tensor):
                return values.to(device)
            return torch.from_numpy(np.ascontiguousarray(values, np.float32)).to(device)

        bands = {name: _stacked(columns, band_columns(word)) for name, word in PER_BAND.items()}
        meta = _stacked(columns, [META[name] for name in view.meta_cols])
        return cls(
            images=there(rows.images),
            **{name: there(values) for name, values in bands.items()},
            meta=there(meta),
            label=there(columns.get("label", np.zeros(len(rows)))),
            pixel_scale=float(columns["pixel_scale_arcsec"][0]),
        )


def _stacked(columns: Mapping[str, np.ndarray], names: Sequence[str]) -> np.ndarray:
    n = len(next(iter(columns.values())))
    unknown = np.full(n, np.nan)
    found = [np.asarray(columns.get(name, unknown), np.float32) for name in names]
    return np.stack(found, axis=1) if found else np.zeros((n, 0))
