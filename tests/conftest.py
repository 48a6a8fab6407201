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


LONGEST = (
    "test_demo",
    "test_spark_job",
    "test_emr_stage",
    "test_train",
    "test_validate_job",
    "test_survey_cutouts_job",
    "test_sim_compiled",
    "test_export_job",
    "test_inject_s3",
    "test_sky_likeness",
    "test_kills",
    "test_preflight_job",
    "test_grading_browser",
)
"""Files that take half a minute or more: they come first, so that no worker is left with one."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: i for i, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(LONGEST)))
