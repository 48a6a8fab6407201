"""The source bank: one uncompressed, contiguous HDF5 file, so that processes share its pages.

Every kind of bank has this form: images of unit flux, one value a template in each column, and
the table of what was turned away. Text is UTF-8, numbers little-endian.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import h5py
import numpy as np

from darkhaloscope.errors import DhsError
from darkhaloscope.io.cache import on_this_host
from darkhaloscope.io.files import sha256, whole

FORMAT = "darkhaloscope-bank"
VERSION = 2
COLUMNS = {
    "template_id": "name in the catalogue it came from",
    "source": "kind of bank it was made for: cosmos, survey, sersic or hybrid",
    "split": "train, val or test",
    "z": "redshift in the catalogue; NaN if not known",
    "mag": "AB magnitude in the catalogue (F814W for COSMOS); NaN if made",
    "mag_measured": "AB magnitude of what was cut out; NaN if made",
    "mag_g": "AB magnitude in the catalogue; NaN if not known",
    "mag_r": "AB magnitude in the catalogue; NaN if not known",
    "mag_i": "AB magnitude in the catalogue; NaN if not known",
    "mag_z": "AB magnitude in the catalogue; NaN if not known",
    "hlr_arcsec": "half-light radius of the template, its PSF included, arcsec",
    "hlr_catalogue_arcsec": "half-light radius in the catalogue, arcsec; NaN if not known",
    "snr": "flux over its error within the mask; infinite if made",
    "clumpiness": "the plan's clumpiness, sum |I - G1*I| / sum I, noise included",
    "clumpiness_null": "what a smooth fit to the same galaxy with the same noise shows",
    "clump_fraction": "integrated flux in clumps, of the total; real: what surely stands out",
    "bulge_fraction": "share of the flux in a bulge of its own colour; 0 if of one colour",
    "bulge_row": "row of `bulges` that shows the bulge alone; -1 if of one colour",
    "pedestal_fraction": "pedestal that was subtracted, of the flux",
    "masked_fraction": "flux filled in under masked neighbours, of the flux",
    "border_sigma": "what is left in the sky beside the galaxy, over its error",
}
TEXT = {"template_id", "source", "split"}
MADE = {name: np.nan for name in COLUMNS if name not in TEXT} | {
    "snr": np.inf,
    "clumpiness_null": 0.0,
    "bulge_fraction": 0.0,
    "bulge_row": -1.0,
    "pedestal_fraction": 0.0,
    "masked_fraction": 0.0,
    "border_sigma": 0.0,
}
"""Values of the columns of a template that was made, and so has no catalogue and no noise."""

REJECTED = {
    "template_id": "name in the catalogue it came from",
    "reason": "why it was turned away",
    "mag": "AB magnitude in the catalogue",
    "snr": "flux over its error; NaN if never measured",
    "hlr_arcsec": "half-light radius, arcsec; NaN if never measured",
    "clumpiness": "the plan's clumpiness; NaN if never measured",
    "clumpiness_null": "of a smooth fit with the same noise; NaN if never measured",
    "picture": "row of rejected/images that shows it; -1 if none does",
}
_REJECTED_TEXT = {"template_id", "reason"}
DTYPES = {"float32": "<f4", "float16": "<f2"}
_FLUX_TOLERANCE = 1e-3
_LOOKED_AT, _ALL_UP_TO = 16, 512


@dataclass(frozen=True)
class Rejects:
    """What was turned away from a bank: columns of REJECTED, and pictures of a few."""

    columns: Mapping[str, np.ndarray]
    images: np.ndarray  # (picture, y, x), unit of the catalogue

    def __len__(self) -> int:
        return len(self.columns["reason"])


@dataclass(frozen=True)
class Bank:
    """Templates of unit flux and their columns; the pixels are a memory map."""

    path: Path
    stored: np.ndarray  # (template, y, x) float32 or float16, to be multiplied by `scale`
    scale: np.ndarray  # (template,)
    pixel_scale: float  # arcsec
    psf_fwhm: float  # arcsec, left in the templates
    columns: Mapping[str, np.ndarray]
    identity: dict  # what it was made from
    bulges: np.ndarray  # (bulge, y, x) float32 of flux 1, the part of a template that is its bulge

    def __len__(self) -> int:
        return len(self.stored)

    @property
    def size(self) -> int:
        """Side of a template, pixels."""
        return self.stored.shape[-1]

    def templates(self, indices: np.ndarray | Sequence[int] | slice) -> np.ndarray:
        """Templates as (template, y, x) float32, each of flux 1.

        Raises DhsError if one of them has not flux 1: the file was damaged
        """
        images = self.stored[indices].astype(np.float32) * self.scale[indices, None, None]
        flux = images.sum((1, 2), dtype=np.float64)
        _check_flux(flux, np.arange(len(self))[indices], self.path)
        return images

    def coarse(self, indices: np.ndarray) -> np.ndarray:
        """Templates at half the resolution, where their side is even: (template, y, x) float32.

        Raises DhsError as `templates` does
        """
        images = self.stored[indices].astype(np.float32, copy=False)
        if self.size % 2 == 0:
            columns = (images[:, 0::2] + images[:, 1::2]).view(np.complex64)
            images = columns.real + columns.imag  # neighbours in a row; twice as fast as slices
        images *= self.scale[indices, None, None]
        _check_flux(images.sum((1, 2)), indices, self.path)
        return images

    def bulges_of(self, indices: np.ndarray) -> np.ndarray:
        """Bulges of templates that have one, as (template, y, x) float32, each of flux 1.

        Raises DhsError if one of them has not flux 1
        """
        rows = self.columns["bulge_row"][indices].astype(int)
        images = np.array(self.bulges[rows], np.float32)
        _check_flux(images.sum((1, 2), dtype=np.float64), indices, self.path)
        return images

    def of_split(self, split: str) -> np.ndarray:
        """Indices of the templates of one split, in file order."""
        return np.flatnonzero(self.columns["split"] == split)

    def digest(self) -> str:
        return sha256(self.path)


@dataclass
class BankWriter:
    """A bank as it grows on disk: templates are added in order, columns at the end."""

    path: Path
    file: h5py.File
    written: int = 0
    bulges: int = 0
    worst_error: float = 0.0
    """Largest pixel error of storing, over the template's peak."""
    scale: list[np.ndarray] = field(default_factory=list)

    def add(self, images: np.ndarray, bulges: np.ndarray | None = None) -> None:
        """The next templates, (template, y, x), and the bulges of those that have one.

        Raises DhsError if a flux is not 1
        """
        flux = images.sum((1, 2), dtype=np.float64)
        _check_flux(flux, self.written + np.arange(len(images)), self.path)
        target = self.file["images"]
        peak = np.abs(images).max((1, 2))
        # Half precision keeps 11 bits, but only near 1: unit-flux pixels are far below.
        scale = peak if target.dtype == np.float16 else np.ones(len(images))
        stored = (images / scale[:, None, None]).astype(target.dtype)
        restored = stored.astype(np.float64) * scale[:, None, None]
        scale = scale / restored.sum((1, 2)) * flux
        self.worst_error = max(
            self.worst_error, float((np.abs(restored - images).max((1, 2)) / peak).max())
        )
        target[self.written : self.written + len(images)] = stored
        self.scale.append(scale)
        self.written += len(images)
        if bulges is not None and len(bulges):
            flux = bulges.sum((1, 2), dtype=np.float64)
            _check_flux(flux, self.bulges + np.arange(len(bulges)), self.path)
            self.file["bulges"][self.bulges : self.bulges + len(bulges)] = bulges
            self.bulges += len(bulges)


@contextlib.contextmanager
def bank_writer(
    path: Path,
    columns: Mapping[str, Sequence | np.ndarray],
    *,
    size: int,
    pixel_scale: float,
    psf_fwhm: float,
    identity: Mapping[str, str],
    rejects: Rejects | None = None,
    dtype: str = "float32",
) -> Iterator[BankWriter]:
    """Write a bank a few templates at a time; the file appears whole or not at all.

    columns : those of COLUMNS, all of one length; size : side of a template, pixels
    pixel_scale, psf_fwhm : arcsec; identity : what the bank was made from
    dtype : of the stored pixels, float32 or float16

    Raises ValueError if columns are not those of COLUMNS or not of one length, or if fewer or more
    templates come; DhsError if a flux is not 1, or the file system refuses
    """
    if set(columns) != set(COLUMNS):
        raise ValueError(f"a bank has the columns {sorted(COLUMNS)}, got {sorted(columns)}")
    n = len(columns["template_id"])
    _check_lengths(n, columns)
    if not n:
        raise DhsError(f"bank {path} holds no template")
    with whole(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"], file.attrs["version"] = FORMAT, VERSION
        file.attrs["src_pixscale_arcsec"] = pixel_scale
        file.attrs["intrinsic_psf_fwhm_arcsec"] = psf_fwhm
        file.attrs["identity"] = json.dumps(dict(identity), sort_keys=True)
        for name, values in columns.items():
            _put(file, name, values, COLUMNS[name], name in TEXT)
        if rejects is not None:
            group = file.create_group("rejected")
            for name, values in rejects.columns.items():
                _put(group, name, values, REJECTED[name], name in _REJECTED_TEXT)
            group.create_dataset("images", data=np.ascontiguousarray(rejects.images, "<f4"))
        file.create_dataset("images", (n, size, size), DTYPES[dtype])
        rows = np.asarray(columns["bulge_row"], float)
        with_bulge = np.sort(rows[rows >= 0])
        if (with_bulge != np.arange(len(with_bulge))).any():
            raise ValueError("bulge_row must number the templates with a bulge from 0")
        if len(with_bulge):
            file.create_dataset("bulges", (len(with_bulge), size, size), "<f4")
        writer = BankWriter(path, file)
        yield writer
        if writer.written != n or writer.bulges != len(with_bulge):
            raise ValueError(
                f"{writer.written} templates and {writer.bulges} bulges came where {n} and "
                f"{len(with_bulge)} were announced"
            )
        file.create_dataset("scale", data=np.concatenate(writer.scale).astype("<f4"))


def write_bank(path: Path, images: np.ndarray, columns: Mapping[str, Sequence], **about) -> None:
    """Write a bank that is in memory; see bank_writer for `about` and errors."""
    with bank_writer(path, columns, size=images.shape[-1], **about) as writer:
        writer.add(images)


def read_bank(path: Path) -> Bank:
    """Open a bank, its images memory-mapped.

    Of a large bank a few templates are looked at; `Bank.templates` checks what it returns.

    Raises DhsError for a file that is missing, truncated, foreign, or holds templates of no flux
    """
    with _opened(path) as file:
        bank = Bank(
            path=path,
            stored=_mapped(path, file["images"]),
            scale=file["scale"][:],
            pixel_scale=float(file.attrs["src_pixscale_arcsec"]),
            psf_fwhm=float(file.attrs["intrinsic_psf_fwhm_arcsec"]),
            columns={name: _column(file[name]) for name in COLUMNS},
            identity=json.loads(file.attrs["identity"]),
            bulges=_mapped(path, file["bulges"]) if "bulges" in file else np.zeros((0, 1, 1)),
        )
        _check_lengths(len(bank), {**bank.columns, "scale": bank.scale})
    if not len(bank):
        raise DhsError(f"bank {path} holds no template")
    looked = len(bank) if len(bank) <= _ALL_UP_TO else _LOOKED_AT
    bank.templates(np.unique(np.linspace(0, len(bank) - 1, looked).astype(int)))
    return bank


def read_rejects(path: Path) -> Rejects:
    """What was turned away when the bank was made; empty for a bank that turned away nothing.

    Raises DhsError as read_bank does
    """
    with _opened(path) as file:
        if "rejected" not in file:
            return Rejects({name: np.array([]) for name in REJECTED}, np.zeros((0, 1, 1)))
        group = file["rejected"]
        columns = {name: _column(group[name]) for name in REJECTED}
        return Rejects(columns, group["images"][:])


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    if not path.is_file():
        raise DhsError(f"bank {path} does not exist; make one with `dhs bank hybrid` or `cosmos`")
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT or file.attrs.get("version") != VERSION:
                raise DhsError(
                    f"{path} is HDF5 but no source bank of format {FORMAT} {VERSION}; "
                    "make one with `dhs bank hybrid` or `cosmos`"
                )
            yield file
    except (OSError, KeyError, ValueError, AttributeError) as error:
        raise DhsError(f"bank {path} is damaged or no HDF5: {error}; make it again") from error


def _put(place, name: str, values: Sequence | np.ndarray, meaning: str, text: bool) -> None:
    data = [str(v) for v in values] if text else np.asarray(values, "<f8")
    kind = h5py.string_dtype() if text else None
    place.create_dataset(name, data=data, dtype=kind).attrs["meaning"] = meaning


def _mapped(path: Path, dataset) -> np.ndarray:
    offset = dataset.id.get_offset()
    if offset is None or dataset.dtype.str not in DTYPES.values() or dataset.ndim != 3:
        raise ValueError("its images are not a contiguous (template, y, x) float array")
    if offset + dataset.nbytes > path.stat().st_size:
        raise ValueError("the file is truncated")
    return np.memmap(path, dataset.dtype, "r", offset, dataset.shape)


def _column(dataset) -> np.ndarray:
    return dataset.asstr()[:].astype(str) if dataset.dtype == object else dataset[:]


def _check_lengths(n: int, columns: Mapping[str, Sequence | np.ndarray]) -> None:
    for name, values in columns.items():
        if len(values) != n:
            raise ValueError(f"column {name} has {len(values)} values for {n} templates")


def _check_flux(flux: np.ndarray, numbers: np.ndarray, path: Path) -> None:
    bad = np.flatnonzero(~(np.abs(flux - 1) < _FLUX_TOLERANCE))
    if bad.size:
        raise DhsError(
            f"bank {path}: template {numbers[bad[0]]} has flux {flux[bad[0]]:.4g} where 1 is "
            f"required ({bad.size} of {len(flux)} looked at are wrong); make the bank again"
        )


@lru_cache(maxsize=1)
def open_bank(path: Path, digest: str = "") -> Bank:
    """The bank, on this host, checked to have this SHA-256 if one is given."""
    return read_bank(on_this_host(path, digest))
