"""A row of a table in words: values with units, and what they mean."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from darkhaloscope.schema import Column, band_columns
from darkhaloscope.units import BANDS


def described(row: Mapping[str, Any], columns: Sequence[Column]) -> list[str]:
    """One line a quantity, its bands together: name, value, unit, meaning."""
    lines = list(_quantities(row, columns))
    widths = [max(len(line[i]) for line in lines) for i in range(2)]
    return [
        f"  {name:<{widths[0]}}  {value:<{widths[1]}}  {meaning}" for name, value, meaning in lines
    ]


def _quantities(
    row: Mapping[str, Any], columns: Sequence[Column]
) -> Iterator[tuple[str, str, str]]:
    known = {column.name for column in columns}
    for column in columns:
        pattern = _pattern(column.name, known)
        if pattern is None:
            yield column.name, _with_unit(_said(row[column.name], column), column), column.meaning
        elif column.name == pattern.format(b=BANDS[0]):
            values = (
                f"{band} {_said(row[name], column)}"
                for band, name in zip(BANDS, band_columns(pattern), strict=True)
            )
            meaning = column.meaning.removesuffix(f", {BANDS[0]} band")
            yield pattern.replace("{b}", "*"), _with_unit("  ".join(values), column), meaning


def _pattern(name: str, known: set[str]) -> str | None:
    """`psf_fwhm_{b}_arcsec` of one band's column, if there is one of each band."""
    words = name.split("_")
    for i, word in enumerate(words):
        if word in BANDS:
            pattern = "_".join([*words[:i], "{b}", *words[i + 1 :]])
            if known.issuperset(band_columns(pattern)):
                return pattern
    return None


def _with_unit(said: str, column: Column) -> str:
    return f"{said} {column.unit}" if column.unit not in {"", "bits"} else said


def _said(value: Any, column: Column) -> str:
    if column.unit == "deg":
        return f"{float(value):.6f}"
    value = value.item() if hasattr(value, "item") else value
    return f"{value:.4g}" if isinstance(value, float) else str(value) or "none"
