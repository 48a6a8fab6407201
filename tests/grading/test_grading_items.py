"""What is shown and in which order: shares, roles, blindness."""

import json
from collections import Counter

import numpy as np
import pytest

from darkhaloscope.config import GradeServe
from darkhaloscope.errors import DhsError
from darkhaloscope.evaluate.places import near
from darkhaloscope.grading.items import Offered, mix, order
from darkhaloscope.grading.places import Found, open_place, shown_size
from darkhaloscope.grading.session import read_positions

NOWHERE = np.empty((0, 2))


def objects(prefix: str, n: int, kind: str = "luminous", dec: float = 0.0, **other) -> list[Found]:
    about = {"size_pix": 64, "pixel_scale_arcsec": 0.262, "file": "part-00000.parquet", "group": 0}
    return [Found(f"{prefix}{i}", kind, 10.0 + i, dec, row=i, **(about | other)) for i in range(n)]


def offered(place: int, found: list[Found], is_stamps: bool = False) -> Offered:
    return Offered(place, found, is_stamps)


def roles(items) -> Counter:
    return Counter(item.role for item in items)


ASKED = offered(0, objects("asked", 80))
KNOWN = offered(1, objects("known", 50, dec=5.0))
BLANKS = offered(2, objects("blank", 50, dec=9.0))


def test_controls_make_up_their_shares():
    items = mix(ASKED, [KNOWN], [BLANKS], NOWHERE, GradeServe(), "salt")
    assert roles(items) == {"object": 80, "known": 10, "blank": 10}
    few = mix(ASKED, [offered(1, KNOWN.objects[:3])], [BLANKS], NOWHERE, GradeServe(), "salt")
    assert roles(few) == {"object": 80, "known": 3, "blank": 10}


def test_controls_are_chosen_by_the_seed():
    def chosen(seed):
        items = mix(ASKED, [KNOWN], [], NOWHERE, GradeServe(seed=seed), "salt")
        return [item.found.name for item in items if item.role == "known"]

    assert chosen(1) == chosen(1) != chosen(2)


def test_an_object_that_is_in_both_places_is_shown_once_as_a_control():
    both = offered(1, [*KNOWN.objects[:4], *ASKED.objects[:3]])
    items = mix(ASKED, [both], [], NOWHERE, GradeServe(known_share=0.3), "salt")
    assert roles(items) == {"object": 77, "known": 7}
    assert len({item.found.name for item in items}) == len(items)


def test_objects_at_listed_places_are_known_lenses():
    close = 1.0 / 3600
    positions = np.array([(12.0, close), (13.0, 5 * close), (15.0, 0.0)])
    items = mix(ASKED, [], [], positions, GradeServe(match_arcsec=3.0), "salt")
    assert [item.found.name for item in items if item.role == "known"] == ["asked2", "asked5"]


def test_near_holds_at_the_pole_and_across_zero():
    others = np.array([(359.9999, 10.0), (180.0, 89.9999)])
    places = np.array([(0.0, 10.0), (0.0, 89.9999), (0.0, 12.0)])
    assert near(*places.T, *others.T, 1.0).tolist() == [True, True, False]


def test_stamps_tell_what_they_are():
    kinds = [*objects("l", 5, "lens"), *objects("h", 5, "host"), *objects("r", 5, "ring")]
    items = mix(offered(0, kinds, True), [], [], NOWHERE, GradeServe(), "salt")
    assert roles(items) == {"known": 5, "blank": 5, "object": 5}
    controls = offered(1, kinds, True)
    assert [f.name for f in controls.as_controls("known")] == ["l0", "l1", "l2", "l3", "l4"]


def test_every_grader_has_an_order_of_its_own_that_stays():
    items = mix(ASKED, [KNOWN], [BLANKS], NOWHERE, GradeServe(), "salt")
    anna, ben = (order(items, name, 1) for name in ("anna", "ben"))
    assert anna == order(items, "anna", 1) != ben
    assert {item.id for item in anna} == {item.id for item in ben}
    place = np.array([item.role == "known" for item in anna]).nonzero()[0]
    assert place.min() < 40 < place.max()  # mixed in, not at an end


def test_ids_tell_nothing_and_cannot_be_computed_from_names():
    items = mix(ASKED, [KNOWN], [BLANKS], NOWHERE, GradeServe(), "salt")
    others = mix(ASKED, [KNOWN], [BLANKS], NOWHERE, GradeServe(), "other salt")
    assert {len(item.id) for item in items} == {16}
    assert not {item.id for item in items} & {item.id for item in others}
    ranks = np.argsort(np.argsort([item.id for item in items]))
    known = np.array([item.role == "known" for item in items])
    assert ranks[known].min() < 60 and ranks[known].max() > 40  # ids do not sort by role


def test_pictures_of_one_size_and_scale():
    small = objects("s", 2, size_pix=48)
    assert shown_size([*ASKED.objects, *small], None) == 48
    assert shown_size(ASKED.objects, 32) == 32
    with pytest.raises(DhsError, match="size_pix = 50 is more than the smallest picture has, 48"):
        shown_size(small, 50)
    with pytest.raises(DhsError, match="must be of one scale"):
        shown_size([*ASKED.objects, *objects("x", 1, pixel_scale_arcsec=0.3)], None)


def test_what_a_page_is_told_does_not_tell_a_control(grades_of):
    desk, _ = grades_of()
    told = desk.session("anna")
    assert [set(item) for item in told["items"]] == [{"item"}] * 20
    text = json.dumps(told)
    for item in desk.items.values():
        found = item.found
        assert found.name not in text and str(found.ra_deg)[:7] not in text
    assert not any(word in text for word in ("known", "blank", "luminous", "host_kind", "part-"))


def test_a_place_lists_and_gives_what_it_holds(controls):
    place = open_place(controls.asked)
    found = place.objects()
    assert len(found) == 14 and {f.kind for f in found} == {"luminous"}
    image = place.image(found[3].file, found[3].group, found[3].row, 24)
    assert image.shape == (3, 24, 24) and image.std() > 0


def test_a_place_that_is_none_or_was_altered_is_refused(controls, tmp_path):
    with pytest.raises(DhsError, match="no finished cutout store or stamp set"):
        open_place(tmp_path)
    copied = tmp_path / "copied"
    copied.mkdir()
    for path in controls.asked.iterdir():
        if path.is_file():
            (copied / path.name).write_bytes(path.read_bytes())
    place = open_place(copied)
    victim = place.objects()[0]
    data = bytearray((copied / victim.file).read_bytes())
    data[len(data) // 2] ^= 1
    (copied / victim.file).write_bytes(data)
    with pytest.raises(DhsError, match="was altered"):
        place.image(victim.file, victim.group, victim.row, 24)


def test_positions_come_from_a_table(tmp_path):
    (tmp_path / "a.csv").write_text("name,ra,dec\nx,10.5,-3.0\ny,11,4.5\n")
    assert read_positions(tmp_path / "a.csv").tolist() == [[10.5, -3.0], [11.0, 4.5]]
    (tmp_path / "b.csv").write_text("name,alpha\nx,10.5\n")
    with pytest.raises(DhsError, match="lacks the columns ra_deg and dec_deg"):
        read_positions(tmp_path / "b.csv")
    with pytest.raises(DhsError, match="cannot be read"):
        read_positions(tmp_path / "none.csv")
