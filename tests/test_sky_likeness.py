"""The synthetic sky against the real one, with limits: what bench/sky.py prints."""

import numpy as np
import pytest
import sky

from darkhaloscope.config import CutoutsSynthetic
from darkhaloscope.jobs.synthetic import cutouts_synthetic

# KS distances; 1,500 places and thousands of rows lie within 0.045 of their like by chance.
LIMITS = {
    "psfsize_r": 0.06,
    "psfdepth_r": 0.06,
    "E(B-V)": 0.06,
    "host r": 0.04,
    "host g-r": 0.05,
    "host r-z": 0.05,
}


@pytest.fixture(scope="module")
def pairs(real_data, tmp_path_factory):
    work = tmp_path_factory.mktemp("likeness")
    cutouts_synthetic(work / "small", CutoutsSynthetic(n_hosts=1500, size_pix=32), 1)
    cutouts_synthetic(work / "large", CutoutsSynthetic(n_hosts=120, size_pix=101), 1)
    images = sky.made_images(work / "large")
    return sky.comparisons(real_data, sky.made_columns(work / "small"), images)


@pytest.mark.parametrize("name", LIMITS)
def test_catalogue_quantities_are_distributed_as_the_surveys(pairs, name):
    pair = next(p for p in pairs if p.name == name)
    assert len(pair.real) > 2500
    assert pair.distance < LIMITS[name]


def test_seeing_and_depth_go_together_as_on_the_sky(pairs):
    real, made = sky.spearman(pairs)
    assert abs(real - made) < 0.06


def test_classifiers_can_hardly_tell(pairs):
    """Three cutouts cannot hold a limit on the other two questions."""
    told = sky.verdicts(pairs)
    for question, limit in (
        ("seeing, depth, dust of a place", 0.60),
        ("r, g-r, r-z of a host", 0.62),
    ):
        logistic, forest = told[question]
        assert logistic.value < 0.54, question
        assert forest.value < limit, question


@pytest.mark.parametrize("name", [f"{w} {b}" for w in ("sky sigma", "lag-1") for b in "grz"])
def test_real_cutouts_lie_among_the_synthetic(pairs, name):
    pair = next(p for p in pairs if p.name == name)
    low, high = np.percentile(pair.made, [0.5, 99.5])
    assert ((pair.real > low * 0.85) & (pair.real < high * 1.15)).all()


def test_field_galaxies_are_as_many_as_the_survey_finds(real_data):
    for depth, low, high, made in sky.galaxy_counts(real_data):
        assert 0.85 * low < made < 1.15 * high, depth
