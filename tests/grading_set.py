"""Small stores to grade, and a desk on them, for the tests of grading."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from darkhaloscope.config import CutoutsSynthetic, GradeServe
from darkhaloscope.grading.desk import Desk
from darkhaloscope.grading.session import open_desk, tokens_of
from darkhaloscope.jobs.synthetic import cutouts_synthetic

SHARES = GradeServe(known_share=0.2, blank_share=0.1)


@dataclass(frozen=True)
class Controls:
    """Three stores: what is asked about, what stands for known lenses, and blanks."""

    asked: Path
    known: Path
    blanks: Path


@pytest.fixture(scope="session")
def controls(tmp_path_factory) -> Controls:
    """Read only. 14 objects and, at SHARES, 4 known and 2 blanks: 20 in all."""
    folder = tmp_path_factory.mktemp("graded")
    for seed, (name, n) in enumerate({"asked": 14, "known": 6, "blanks": 5}.items(), 1):
        sky = CutoutsSynthetic(
            n_hosts=n, size_pix=32, seed=seed, mask_rate=0.0, missing_band_rate=0.0
        )
        cutouts_synthetic(folder / name, sky, 1)
    return Controls(*(folder / name for name in ("asked", "known", "blanks")))


@pytest.fixture
def grades_of(controls, tmp_path):
    """Opens a desk on the stores, and gives its tokens: desk, {grader: token}."""
    with ThreadPoolExecutor(1) as keeper:

        def opened(*graders: str, cfg: GradeServe = SHARES) -> tuple[Desk, dict[str, str]]:
            places = ([controls.known], [controls.blanks])
            desk = open_desk(controls.asked, tmp_path / "grades.sqlite", *places, cfg, keeper)
            return desk, tokens_of(desk.grades, graders or ("anna",))

        yield opened
