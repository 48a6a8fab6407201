"""What the page asks for, without the web: a grader's list, a picture, an event to keep."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field

from darkhaloscope.errors import DhsError
from darkhaloscope.grading.items import Item, order
from darkhaloscope.grading.pictures import VIEWS, sheet
from darkhaloscope.grading.places import Place
from darkhaloscope.grading.store import Event, Grades
from darkhaloscope.schema import GRADES

VIEWER = "https://www.legacysurvey.org/viewer"


class Unknown(DhsError):
    """An item that is not in the grades file."""


class Sent(BaseModel):
    """An event as a page sends it; anything else is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    key: str = Field(pattern=r"^[0-9a-f-]{36}$", description="the event's own UUID")
    item: str = Field(max_length=64, description="what it is about")
    action: Literal["grade", "undo", "peek"] = Field(description="what was done")
    grade: Literal["A", "B", "C", "none"] | None = Field(None, description="with action grade only")
    note: str = Field("", max_length=2000, description="free text")
    seconds: float | None = Field(None, ge=0, description="that the picture was looked at")


@dataclass(frozen=True)
class Desk:
    """A grades file and the places that hold its pictures.

    keeper : the one thread that the file belongs to
    """

    grades: Grades
    places: Sequence[Place]
    size_pix: int
    keeper: ThreadPoolExecutor
    seed: int

    @cached_property
    def items(self) -> Mapping[str, Item]:
        return {item.id: item for item in self.grades.items()}

    def session(self, grader: str) -> dict[str, Any]:
        """All that a page knows: the grader's own list and grades, and how to show them."""
        mine = {row["item"]: row for row in self.grades.now(grader)}
        shown = order(list(self.items.values()), grader, self.seed)
        return {
            "grader": grader,
            "file": self.grades.meta("name"),
            "grades": GRADES,
            "views": [vars(view) for view in VIEWS],
            "size_pix": self.size_pix,
            "pixel_scale_arcsec": shown[0].found.pixel_scale_arcsec,
            "items": [
                {"item": item.id}
                | ({k: mine[item.id][k] for k in ("grade", "note")} if item.id in mine else {})
                for item in shown
            ],
        }

    def picture(self, item: str) -> bytes:
        """PNG. Raises Unknown, or DhsError if its pixels cannot be read."""
        what = self._item(item)
        found = what.found
        image = self.places[what.place].image(found.file, found.group, found.row, self.size_pix)
        return sheet(image, found.pixel_scale_arcsec)

    def keep(self, grader: str, sent: Sent) -> dict[str, Any]:
        """What holds once the event is on the disk; for a peek also where to look.

        Raises DhsError for an unknown item, a grade that is missing or out of place, or as
        Grades.record does
        """
        what = self._item(sent.item)
        if (sent.action == "grade") != (sent.grade is not None):
            raise DhsError(f"a grade belongs to action grade; got {sent.action} with {sent.grade}")
        self.grades.record(Event(grader=grader, **sent.model_dump()))
        grade, note = self.grades.holds(grader, sent.item)
        answer = {"saved": sent.key, "grade": grade, "note": note}
        return answer | ({"viewer": viewer(what)} if sent.action == "peek" else {})

    def _item(self, item: str) -> Item:
        if item not in self.items:
            raise Unknown(f"there is no object {item} to grade; reload the page")
        return self.items[item]


def viewer(item: Item) -> str:
    """Address of the Legacy Surveys viewer at an object."""
    at = {"ra": f"{item.found.ra_deg:.6f}", "dec": f"{item.found.dec_deg:.6f}"}
    return f"{VIEWER}?{urlencode(at | {'layer': 'ls-dr10-south', 'zoom': 15})}"
