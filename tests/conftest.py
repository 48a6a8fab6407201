"""What every test shares: one torch thread, repeatable hypothesis, a small run, and real data."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from flow import inputs, stamps

__all__ = ["inputs", "stamps"]

torch.set_num_threads(1)
settings.register_profile("dhs", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("dhs")

_REPO = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of public observations: $DHS_REAL_DATA, else ../shared/data beside the repo."""
    folder = Path(os.environ.get("DHS_REAL_DATA", _REPO.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set DHS_REAL_DATA to the folder that holds them")
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that run whole commands come first, so that no worker is left alone with one."""
    items.sort(key=lambda item: item.path.parent != _REPO / "tests")
