"""Every reason for which an entry is refused has a fault planted, and right entries pass."""

import numpy as np
import pytest

from darkhaloscope.evaluate.anchors import AGREES, NO_POSITION, judge
from darkhaloscope.evaluate.places import neighbours, separation
from darkhaloscope.flags import Flag

RA, DEC = 138.022125, 0.483667


def entries(*rows, **of_all):
    """Two catalogues by turns; what a row does not tell is right."""
    usual = {
        "name": "SDSSJ0912+0029", "ra_deg": RA, "dec_deg": DEC, "theta_E_arcsec": 1.63,
        "z_lens": 0.164, "z_source": 0.324, "anchor_class": "lens", "grade": "", "kind_of_lens": "",
        "telescope": "decam",
    } | of_all  # fmt: skip
    full = [{"catalogue": f"cat{i}"} | usual | row for i, row in enumerate(rows)]
    return {name: np.array([row[name] for row in full], _kind(full[0][name])) for name in full[0]}


def _kind(value):
    return object if isinstance(value, str) else float


def ask(rows, **settings):
    return judge(rows, match_arcsec=2.0, **settings)


def flags(rows, **settings):
    return [Flag(int(bits)) for bits in ask(rows, **settings).flags]


def test_two_catalogues_confirm_each_other():
    judged = ask(entries({}, {"ra_deg": RA + 0.5 / 3600}))
    assert judged.flags.tolist() == [0, 0]
    assert judged.separation_arcsec == pytest.approx([0.5, 0.5], rel=1e-3)
    assert judged.group.tolist() == [0, 0]
    assert [check.says for check in judged.names] == [AGREES, AGREES]


@pytest.mark.parametrize(
    ("fault", "flag", "said"),
    [
        ({"name": "SDSSJ0913+0029"}, Flag.NAME_DISAGREES, "SDSSJ0913+0029 lies"),
        ({"ra_deg": RA / 15}, Flag.NAME_DISAGREES, "it would agree if RA is in hours"),
        ({"dec_deg": -DEC}, Flag.NAME_DISAGREES, "it would agree if the sign of Dec is wrong"),
        ({"name": "SDSSJ091275.3+002901"}, Flag.NAME_DISAGREES, "says 75 in the place of"),
        ({"theta_E_arcsec": 16.3}, Flag.BAD_VALUES, "theta_E 16.3 is outside 0.1 to 10 arcsec"),
        ({"theta_E_arcsec": 0.05}, Flag.BAD_VALUES, "theta_E 0.05 is outside"),
        ({"z_source": 0.1}, Flag.BAD_VALUES, "z_source 0.1 is not behind z_lens 0.164"),
        ({"z_lens": -1.0}, Flag.BAD_VALUES, "z_lens -1 is not positive"),
        ({"grade": "probable"}, Flag.CANDIDATE, "cat0 grades it probable"),
        ({"kind_of_lens": "cluster"}, Flag.NOT_A_GALAXY, "cat0 calls it a cluster"),
        ({"telescope": "90prime-mosaic"}, Flag.OTHER_TELESCOPE, "the sky of 90prime-mosaic"),
    ],
)
def test_a_planted_fault_is_named(fault, flag, said):
    judged = ask(entries(fault, {}, {}), telescope="decam")
    assert Flag(int(judged.flags[0])) & flag
    assert said in judged.detail[0]
    assert judged.flags[1:].tolist() == [0, 0]


def test_a_position_that_is_none():
    judged = ask(entries({"name": "Lens", "dec_deg": 96.0}, {}, {}))
    assert Flag(int(judged.flags[0])) == Flag.BAD_VALUES
    assert ask(entries({"ra_deg": np.nan}, {}, {})).flags[0] & int(Flag.BAD_VALUES)


def test_what_is_not_known_is_no_fault():
    nan = np.nan
    rows = entries({"theta_E_arcsec": nan, "z_lens": nan, "z_source": nan, "name": "Gem"}, {})
    judged = ask(rows)
    assert judged.flags.tolist() == [0, 0]
    assert judged.names[0].says == NO_POSITION and np.isnan(judged.names[0].off_arcsec)


def test_an_entry_that_no_other_catalogue_has():
    rows = entries({"catalogue": "mine"}, {"name": "B", "ra_deg": RA + 5, "catalogue": "theirs"})
    assert flags(rows) == [Flag.NOT_CONFIRMED] * 2
    assert "the nearest entry of another catalogue, B, is 5.0 deg away" in ask(rows).detail[0]
    assert flags(rows, alone=True) == [Flag(0)] * 2


def test_one_catalogue_does_not_confirm_itself():
    assert flags(entries({}, {}, catalogue="mine")) == [Flag.NOT_CONFIRMED] * 2
    assert ask(entries({}, {}, catalogue="mine")).detail[0] == "there is no other catalogue"


@pytest.mark.parametrize("alone", [False, True])
def test_a_name_that_stands_elsewhere_in_another_catalogue(alone):
    """The plan's: a position read off a short name agrees with it, and with nothing else."""
    typed = {"ra_deg": 138.1417, "dec_deg": 0.4861}
    full = {"name": "SDSSJ091205.31+002901.2"}
    judged = ask(entries(typed, full, {}), alone=alone)
    assert Flag(int(judged.flags[0])) == Flag.ELSEWHERE
    assert "stands 430.5 arcsec away, at 138.02212 +0.48367" in judged.detail[0]
    assert judged.flags[1:].tolist() == [0, 0]


def test_a_wrong_entry_confirms_no_other():
    assert flags(entries({"name": "SDSSJ0913+0029"}, {})) == [
        Flag.NAME_DISAGREES,
        Flag.NOT_CONFIRMED,
    ]


def test_a_hard_negative_that_is_a_lens():
    rows = entries({"name": "ring 7", "anchor_class": "ring"}, {}, {})
    assert flags(rows, alone=True) == [Flag.CLASS_CONFLICT] * 3
    assert "ring here, lens in cat1" in ask(rows).detail[0]


def test_candidates_can_be_let_through():
    assert flags(entries({"grade": "probable"}, {"grade": "B"}), candidates=True) == [Flag(0)] * 2


def test_neighbours_across_zero_and_at_the_pole():
    ra, dec = np.array([359.9999, 0.0001, 10.0, 190.0]), np.array([0.0, 0.0, 89.9999, 89.9999])
    first, second, far = neighbours(ra, dec, 2.0)
    assert sorted(zip(first.tolist(), second.tolist(), strict=True)) == [(0, 1), (2, 3)]
    assert far == pytest.approx([0.72, 0.72], rel=1e-4)
    assert separation(359.9999, 0.0, 0.0001, 0.0) == pytest.approx(0.72, rel=1e-4)


def test_the_radius_counts():
    near, far = {"ra_deg": RA + 1.9 / 3600}, {"ra_deg": RA + 2.1 / 3600}
    assert flags(entries({}, near)) == [Flag(0)] * 2
    assert all(bits for bits in flags(entries({}, far)))


@pytest.mark.parametrize(
    ("name", "ra", "dec"),
    [
        ("AGEL 013639+000818", 9.163333333, 0.1383611111),  # RA without its hours
        ("000008+022659", 0.21573, -0.49349),  # a spreadsheet counted on
        ("000008+022660", 0.277103, 1.058266),
    ],
)
def test_faults_that_were_met_in_public_lists(name, ra, dec):
    judged = ask(entries({"name": name, "ra_deg": ra, "dec_deg": dec}), alone=True)
    assert Flag(int(judged.flags[0])) == Flag.NAME_DISAGREES
