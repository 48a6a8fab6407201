"""`dhs cutouts synthetic`: the same bytes anywhere, and what the settings promise."""

import numpy as np
import pytest

from darkhaloscope.config import CutoutsSynthetic
from darkhaloscope.flags import Flag
from darkhaloscope.io.parts import parts_in
from darkhaloscope.io.tables import columns_of, image_from, mask_from, read_table
from darkhaloscope.jobs import synthetic
from darkhaloscope.jobs.cutout_store import quarantined
from darkhaloscope.jobs.synthetic import cutouts_synthetic, synthetic_row
from darkhaloscope.schema import CUTOUTS, HOST_KINDS
from memory import peaks_mib

SMALL = CutoutsSynthetic(n_hosts=10, n_look_alikes=7, size_pix=48, missing_band_rate=0.0)


def columns(folder, names=("host_id", "host_kind", "image", "size_pix")):
    tables = [columns_of(read_table(path, CUTOUTS, list(names))) for path in parts_in(folder)]
    return {name: np.concatenate([t[name] for t in tables]) for name in names}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("synthetic") / "small"
    cutouts_synthetic(folder, SMALL, 1)
    return folder


def test_a_host_has_the_same_bytes_in_any_part_order_and_process(small, tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "_HOSTS_PER_PART", 4)
    cutouts_synthetic(tmp_path / "parts", SMALL, 2)
    one, other = columns(small), columns(tmp_path / "parts")
    assert dict(zip(one["host_id"], one["image"], strict=True)) == dict(
        zip(other["host_id"], other["image"], strict=True)
    )


def test_a_host_does_not_depend_on_how_many_there_are():
    names = [synthetic._name(SMALL, i) for i in (9, 2, 16, 5)]
    alone = {name: synthetic_row(SMALL, name, kind)["image"] for name, kind in names}
    many = SMALL.model_copy(update={"n_hosts": 300, "n_look_alikes": 70})
    for name, kind in reversed(names):
        assert synthetic_row(many, name, kind)["image"] == alone[name]


def test_look_alikes_are_beside_the_hosts_not_among_them(small):
    made = columns(small)
    kinds = made["host_kind"].tolist()
    look_alikes = [kind for kind in kinds if kind != "luminous"]
    assert kinds.count("luminous") <= 10
    assert set(look_alikes) <= set(HOST_KINDS[1:]) and len(set(look_alikes)) >= 5
    assert len(set(made["host_id"].tolist())) == len(kinds)


def test_each_kind_asked_for_is_made_in_turn():
    cfg = CutoutsSynthetic(n_hosts=1, n_look_alikes=4, look_alike_kinds=("ring", "spike"))
    assert [synthetic._name(cfg, i)[1] for i in range(5)] == [
        "luminous",
        "ring",
        "spike",
        "ring",
        "spike",
    ]


def test_cutouts_that_lack_a_band_go_to_quarantine_at_their_rate(tmp_path):
    cfg = CutoutsSynthetic(n_hosts=80, size_pix=32, missing_band_rate=0.3)
    cutouts_synthetic(tmp_path / "holes", cfg, 1)
    lost = sum(n for cause, n in quarantined(tmp_path / "holes").items() if "MISSING" in cause)
    assert 10 <= lost <= 40
    names = ("image", "size_pix", "nexp_g", "nexp_r", "nexp_z")
    kept = columns(tmp_path / "holes", names)
    assert min(kept[f"nexp_{b}"].min() for b in "grz") >= 1


def test_masked_lines_come_at_their_rate_with_their_bits():
    none, every = (SMALL.model_copy(update={"mask_rate": rate}) for rate in (0.0, 1.0))
    for i in range(5):
        name, kind = synthetic._name(SMALL, i)
        rows = [synthetic_row(cfg, name, kind) for cfg in (none, every)]
        masks = [mask_from(row["maskbits"], 48) for row in rows]
        images = [image_from(row["image"], 48) for row in rows]
        bad = (masks[0] != masks[1]) | ((masks[1] & 0b111 << 5) > 0)
        assert not (masks[0] & 0b111 << 5).any()
        assert (images[0] == images[1])[:, ~bad].all()


def test_a_row_tells_all_that_was_drawn():
    row = synthetic_row(SMALL, "one", "luminous")
    assert set(row) == {c.name for c in CUTOUTS}
    assert np.isfinite(row["psf_depth_r_mag"]) and row["psf_e1_g"] != 0
    assert not row["host_flags"] & Flag.MISSING_BAND


def test_memory_is_flat_in_the_number_of_hosts(tmp_path):
    calls = [(tmp_path / str(n), CutoutsSynthetic(n_hosts=n, size_pix=32), 1) for n in (720, 2160)]
    peak = peaks_mib(cutouts_synthetic, *calls)
    assert peak[1] < peak[0] + 40, f"MiB: {peak}"
