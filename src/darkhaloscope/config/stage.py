"""What all settings share: a frozen, closed model with a digest, and errors that explain."""

import difflib
import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from darkhaloscope.errors import DhsError
from darkhaloscope.keys import digest_of


def setting(description: str, **limits: Any) -> Any:
    return Field(description=description, **limits)


Split = Literal["train", "val", "test"]
PerBand = tuple[float, float, float]


class Stage(BaseModel):
    """Settings of one verb. Frozen, closed, and with a digest."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    NOT_OF_THE_RESULT: ClassVar[set[str]] = set()
    """Settings that judge a result, or say how patiently it is made; no byte depends on them."""

    def digest(self) -> str:
        """Same settings, same digest."""
        return digest_of(type(self).__name__, self.as_json())

    def as_json(self) -> str:
        return json.dumps(self.model_dump(mode="json"), sort_keys=True)

    def identity(self) -> str:
        """The settings that the result depends on, as JSON."""
        kept = self.model_dump(mode="json", exclude=self.NOT_OF_THE_RESULT)
        return json.dumps(kept, sort_keys=True)


S = TypeVar("S", bound=Stage)


class Splits(Stage):
    """What keeps train, val and test apart."""

    split_fractions: Annotated[tuple[float, float, float], setting("train, val and test share")] = (
        0.7,
        0.15,
        0.15,
    )
    seed: Annotated[int, setting("keys every random choice", ge=0)] = 1

    @model_validator(mode="after")
    def _fractions_add_up(self) -> Self:
        if min(self.split_fractions) < 0 or abs(sum(self.split_fractions) - 1) > 1e-9:
            raise ValueError(
                f"split_fractions must be >= 0 and sum to 1, got {self.split_fractions}"
            )
        return self


def build(model: type[S], settings: Mapping[str, Any], where: str) -> S:
    """The stage's model from plain settings; every fault is named at once in one DhsError."""
    try:
        return model(**settings)
    except ValidationError as error:
        raise DhsError(explain(error, model, where)) from error


def explain(error: ValidationError, model: type[BaseModel], where: str) -> str:
    """What came, what is allowed, what to do, one line a fault."""
    lines = []
    for fault in error.errors():
        key = ".".join(str(word) for word in fault["loc"])
        if fault["type"] == "extra_forbidden":
            lines.append(f"{where}: unknown key '{key}'{hint(key, model.model_fields)}")
        elif fault["type"] == "value_error":
            lines.append(f"{where}: {fault.get('ctx', {}).get('error')}")
        else:
            about = model.model_fields[str(fault["loc"][0])].description if fault["loc"] else ""
            allowed = fault["msg"].replace("Input should be", "must be")
            lines.append(f"{where}: {key} {allowed}, got {fault['input']!r} ({about})")
    return "\n".join(lines)


def hint(word: str, known) -> str:
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    suggestion = f"; did you mean '{near[0]}'?" if near else ""
    return f"{suggestion} (allowed: {', '.join(known)})"
