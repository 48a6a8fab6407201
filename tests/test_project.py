"""The project itself: one lock that covers what is declared, pages that match the code."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]


def _locked() -> dict[str, Version]:
    lines = (ROOT / "requirements.lock").read_text().split()
    pairs = (line.split("==") for line in lines)
    return {name.lower().replace("_", "-"): Version(version) for name, version in pairs}


def _declared() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    every = [*project["dependencies"], *(word for extra in extras for word in extra)]
    return [r for r in map(Requirement, every) if r.name != "darkhaloscope"]


@pytest.mark.parametrize("requirement", _declared(), ids=lambda r: r.name)
def test_every_dependency_is_locked_at_an_allowed_version(requirement):
    assert _locked()[requirement.name] in requirement.specifier


def test_lock_holds_names_and_versions_only():
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text
    assert "+" not in text
    assert str(_locked()["torch"]) == "2.13.0"


def test_no_page_holds_two_versions_of_itself():
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")]
    assert len(pages) > 10
    for page in pages:
        lines = page.read_text().splitlines()
        assert not [line for line in lines if line.startswith(("<<<<<<<", ">>>>>>>", "======="))], (
            page
        )
