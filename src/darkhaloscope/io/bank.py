"""The source bank: one uncompressed, contiguous HDF5 file, so that processes share its pages."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from darkhaloscope.errors import DhsError
from darkhaloscope.io.files import sha256, whole

FORMAT = "darkhaloscope-bank"
VERSION = 1
COLUMNS = {
    "template_id": "name in the catalogue it came from",
    "split": "train, val or test",
    "hlr_arcsec": "half-light radius, arcsec",
    "mag": "F814W AB magnitude of the catalogue; NaN if made",
    "snr": "S/N in the segment; infinite if made",
    "clumpiness": "the plan's clumpiness, noise included",
    "clumpiness_noise": "what noise alone gives on the same pixels",
    "clump_fraction": "flux in clumps, of the total; NaN if not known",
}
_TEXT = {"template_id", "split"}


@dataclass(frozen=True)
class Bank:
    """Templates of unit flux and their columns; the images are a memory map."""

    path: Path
    images: np.ndarray  # (template, y, x) float32
    pixel_scale: float  # arcsec
    psf_fwhm: float  # arcsec, left in the templates
    columns: Mapping[str, np.ndarray]
    identity: dict  # what it was made from

    def __len__(self) -> int:
        return len(self.images)

    def of_split(self, split: str) -> np.ndarray:
        """Indices of the templates of one split, in file order."""
        return np.flatnonzero(self.columns["split"] == split)

    def digest(self) -> str:
        return sha256(self.path)


def write_bank(
    path: Path,
    images: np.ndarray,
    columns: Mapping[str, Sequence],
    *,
    pixel_scale: float,
    psf_fwhm: float,
    identity: Mapping[str, str],
) -> None:
    """Write a bank; the file appears whole or not at all.

    pixel_scale, psf_fwhm : arcsec; identity : what the bank was made from

    Raises ValueError if columns are not those of COLUMNS, or not as long as the images; DhsError
    if a flux is not 1, or the file system refuses
    """
    if set(columns) != set(COLUMNS):
        raise ValueError(f"a bank has the columns {sorted(COLUMNS)}, got {sorted(columns)}")
    _check_lengths(len(images), columns)
    _check_flux(images, path)
    with whole(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"], file.attrs["version"] = FORMAT, VERSION
        file.attrs["src_pixscale_arcsec"] = pixel_scale
        file.attrs["intrinsic_psf_fwhm_arcsec"] = psf_fwhm
        file.attrs["identity"] = json.dumps(dict(identity), sort_keys=True)
        file.create_dataset("images", data=np.ascontiguousarray(images, "<f4"))
        for name, values in columns.items():
            data = [str(v) for v in values] if name in _TEXT else np.asarray(values, "<f8")
            file.create_dataset(name, data=data).attrs["meaning"] = COLUMNS[name]


def read_bank(path: Path) -> Bank:
    """Open a bank, its images memory-mapped.

    Raises DhsError for a file that is missing, truncated, foreign, or holds templates of no flux
    """
    if not path.is_file():
        raise DhsError(f"bank {path} does not exist; make one with `dhs bank hybrid` or `cosmos`")
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT or file.attrs.get("version") != VERSION:
                raise DhsError(
                    f"{path} is HDF5 but no source bank of format {FORMAT} {VERSION}; "
                    "make one with `dhs bank hybrid` or `cosmos`"
                )
            bank = Bank(
                path=path,
                images=_mapped(path, file["images"]),
                pixel_scale=float(file.attrs["src_pixscale_arcsec"]),
                psf_fwhm=float(file.attrs["intrinsic_psf_fwhm_arcsec"]),
                columns={name: _column(file[name]) for name in COLUMNS},
                identity=json.loads(file.attrs["identity"]),
            )
            _check_lengths(len(bank), bank.columns)
    except (OSError, KeyError, ValueError, AttributeError) as error:
        raise DhsError(f"bank {path} is damaged or no HDF5: {error}; make it again") from error
    _check_flux(bank.images, path)
    return bank


def _mapped(path: Path, dataset) -> np.ndarray:
    offset = dataset.id.get_offset()
    if offset is None or dataset.dtype != np.dtype("<f4") or dataset.ndim != 3:
        raise ValueError("its images are not a contiguous (template, y, x) float32 array")
    if offset + dataset.nbytes > path.stat().st_size:
        raise ValueError("the file is truncated")
    return np.memmap(path, "<f4", "r", offset, dataset.shape)


def _column(dataset) -> np.ndarray:
    return dataset.asstr()[:].astype(str) if dataset.dtype == object else dataset[:]


def _check_lengths(n: int, columns: Mapping[str, Sequence | np.ndarray]) -> None:
    for name, values in columns.items():
        if len(values) != n:
            raise ValueError(f"column {name} has {len(values)} values for {n} templates")


def _check_flux(images: np.ndarray, path: Path) -> None:
    if not len(images):
        raise DhsError(f"bank {path} holds no template")
    flux = np.array([image.sum(dtype=np.float64) for image in images])
    bad = np.flatnonzero(~(np.abs(flux - 1) < 1e-3))
    if bad.size:
        raise DhsError(
            f"bank {path}: template {bad[0]} has flux {flux[bad[0]]:.4g} where 1 is required "
            f"({bad.size} of {len(images)} are wrong); make the bank again"
        )
