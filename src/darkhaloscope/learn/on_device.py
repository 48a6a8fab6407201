"""Training rows whose light is made on a GPU, where cutouts and bank stay."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from darkhaloscope.io.bank import Bank
from darkhaloscope.jobs.hosts import Hosts
from darkhaloscope.jobs.inject import LEAST_FLUX_INSIDE
from darkhaloscope.jobs.light import light_of
from darkhaloscope.keys import digest_of
from darkhaloscope.learn.batch import COLUMNS, Rows
from darkhaloscope.schema import band_columns
from darkhaloscope.units import BANDS


@dataclass(frozen=True)
class BankOnDevice:
    """A bank whose pixels are tensors; see jobs.light.Templates."""

    pixel_scale: float
    columns: Mapping[str, np.ndarray]
    images: Tensor
    bulges: Tensor

    def templates(self, indices: np.ndarray) -> Tensor:
        return self.images[torch.as_tensor(indices, device=self.images.device)]

    def bulges_of(self, indices: np.ndarray) -> Tensor:
        rows = self.columns["bulge_row"][indices].astype(int)
        return self.bulges[torch.as_tensor(rows, device=self.bulges.device)]


@dataclass(frozen=True)
class OnDevice:
    """What stays on a GPU while it trains. images : (host, band, y, x)"""

    images: Tensor
    bank: BankOnDevice
    rng: torch.Generator


_kept: dict[tuple[str, Path, int], OnDevice] = {}


def on_device(hosts: Hosts, bank: Bank, device: str) -> OnDevice:
    """Hosts and bank on a device; they stay there for the next call."""
    key = (device, bank.path, id(hosts))
    if key not in _kept:
        _kept.clear()
        _kept[key] = _taken_there(hosts, bank, device)
    return _kept[key]


def _taken_there(hosts: Hosts, bank: Bank, device: str) -> OnDevice:
    images = torch.tensor(np.asarray(hosts.images), device=device)
    templates = torch.as_tensor(bank.templates(slice(None)), device=device)
    bulges = torch.tensor(np.asarray(bank.bulges), dtype=torch.float32, device=device)
    there = BankOnDevice(bank.pixel_scale, bank.columns, templates, bulges)
    return OnDevice(images, there, torch.Generator(device))


def lit(rows: Rows, there: OnDevice, *, photon_noise: bool) -> Rows:
    """Rows with their light on the pixels of their hosts; see jobs.inject.injected.

    rows : complete for rendering; in place of images the number of each row's host
    Pairs with most of a row's light beside the stamp are left out.
    """
    device = there.images.device
    light = light_of(rows.columns, there.bank, np.ones(len(rows), bool), device)
    images = there.images[torch.as_tensor(rows.images, device=device)] + light
    if photon_noise:
        images += _photon_noise(rows.columns, light, there.rng)
    kept = np.flatnonzero(_inside(rows.columns, light))
    columns = {name: rows.columns[name][kept] for name in COLUMNS}
    return Rows(columns, images[torch.from_numpy(kept).to(device)])


def _inside(columns: Mapping[str, np.ndarray], light: Tensor) -> np.ndarray:
    """Rows of pairs none of which has most of its light beside the stamp, as injection has it."""
    flux = light[:, BANDS.index("r")].sum((-2, -1), dtype=torch.float64).cpu().numpy()
    expected = columns["source_flux_r_nmgy"] * columns["magnification"]
    off = (columns["kind"] != "host") & (flux < LEAST_FLUX_INSIDE * expected)
    return ~np.isin(columns["pair_id"].astype(str), columns["pair_id"][off].astype(str))


def _photon_noise(columns: Mapping[str, np.ndarray], light: Tensor, rng: torch.Generator) -> Tensor:
    """Poisson noise of zero mean; its generator is the rows' own, taken together."""
    rng.manual_seed(int(digest_of("photons", *columns["task_id"])[:15], 16))
    names = band_columns("electrons_per_nmgy_{b}")
    gain = torch.from_numpy(np.stack([columns[n] for n in names], axis=1).astype(np.float32))
    gain = gain.to(light.device)[..., None, None]
    electrons = (light * gain).clamp_min(0)
    return (torch.poisson(electrons, rng) - electrons) / gain
