"""The page in a real browser: graded by keyboard, and nothing lost whatever is killed."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from aiohttp.test_utils import unused_port
from playwright.sync_api import Page, expect, sync_playwright

from darkhaloscope.grading.items import order
from darkhaloscope.grading.store import open_grades

CHROMIUM = shutil.which("chromium")
ARGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
]
PATIENCE_S = 60.0
KEYS = "AB3N"
GRADES = ("A", "B", "C", "none")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (apt-get install chromium)"),
]


class Killable:
    """A process of ours, with all that it started."""

    def __init__(self, command: list, **pipes):
        self.process = subprocess.Popen(
            [str(word) for word in command], start_new_session=True, **pipes
        )

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


class Server(Killable):
    """`dhs grade serve`, and each grader's address as it prints it."""

    def __init__(self, controls, grades: Path, port: int):
        command = [sys.executable, "-m", "darkhaloscope.cli", "grade", "serve", controls.asked]
        command += ["--grades", grades, "--grader", "anna", "--grader", "ben", "--port", port]
        command += ["--known", controls.known, "--blanks", controls.blanks]
        command += ["--known-share", 0.2, "--blank-share", 0.1]
        super().__init__(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        lines = [self.process.stdout.readline().strip() for _ in range(2)]
        self.addresses = dict(line.split(": ", 1) for line in lines)


class Browser(Killable):
    """Chromium, started by us so that it can be killed, with a profile that outlives it."""

    def __init__(self, profile: Path, playwright):
        told = profile / "DevToolsActivePort"
        told.unlink(missing_ok=True)
        super().__init__([CHROMIUM, *ARGS, f"--user-data-dir={profile}"], stderr=subprocess.DEVNULL)
        end = time.monotonic() + PATIENCE_S
        while not (told.exists() and "\n" in told.read_text()):
            assert time.monotonic() < end, "chromium did not start"
            time.sleep(0.05)
        port = told.read_text().split()[0]
        found = playwright.chromium.connect_over_cdp(f"http://127.0.0.1:{port}")
        self.context = found.contexts[0]

    def open(self, address: str) -> Page:
        page = self.context.new_page()
        page.set_default_timeout(PATIENCE_S * 1000)
        page.goto(address)
        page.locator("body[data-ready=yes]").wait_for()
        return page


@pytest.fixture
def killables():
    """What a test starts and adds here does not outlive it."""
    started: list[Killable] = []
    yield started
    for each in started:
        each.kill()


expect.set_options(timeout=PATIENCE_S * 1000)


def press(page: Page, key: str) -> None:
    """A key, once the picture that it judges is on the screen."""
    page.locator("#big:not(.waiting)").wait_for()
    page.keyboard.press(key)


def grade(page: Page, times: int) -> None:
    """The next ones in turn: A for the first object of the list, B for the second, ..."""
    for _ in range(times):
        number = int(re.findall(r"\d+", page.locator("#which").inner_text())[0])
        press(page, KEYS[(number - 1) % 4])
        if number < 20:
            expect(page.locator("#which b")).to_have_text(str(number + 1))


def saved(page: Page, done: int) -> None:
    expect(page.locator("#saved")).to_have_text("all saved")
    expect(page.locator("#done")).to_have_text(str(done))


def test_no_grade_is_lost_or_doubled_whatever_is_killed(controls, tmp_path, killables):
    grades, port = tmp_path / "grades.sqlite", unused_port()
    server = Server(controls, grades, port)
    killables.append(server)
    with sync_playwright() as playwright:
        browser = Browser(tmp_path / "profile", playwright)
        killables.append(browser)
        anna, ben = (browser.open(server.addresses[name]) for name in ("anna", "ben"))
        for _ in range(3):  # both at once
            grade(anna, 2)
            grade(ben, 2)
        saved(anna, 6)
        saved(ben, 6)

        server.kill()
        grade(anna, 3)
        expect(anna.locator("#saved")).to_have_text("3 kept here")
        expect(anna.locator("#notice")).to_contain_text("3 grades are kept in this browser")
        browser.kill()
        assert len(open_grades(grades).now("anna")) == 6

        browser = Browser(tmp_path / "profile", playwright)
        killables.append(browser)
        server = Server(controls, grades, port)
        killables.append(server)
        anna, ben = (browser.open(server.addresses[name]) for name in ("anna", "ben"))
        saved(anna, 9)
        grade(ben, 5)
        saved(ben, 11)

        server.kill()  # and this time the pages live on
        grade(anna, 3)
        server = Server(controls, grades, port)
        killables.append(server)
        grade(anna, 8)
        grade(ben, 9)
        for page in (anna, ben):
            saved(page, 20)
            expect(page.locator("#end-box")).to_contain_text("A 5, B 5, C 5, none 5")

    found = open_grades(grades)
    assert len(found.events()) == len(found.now()) == 40
    for name in ("anna", "ben"):
        given = {row["item"]: row["grade"] for row in found.now(name)}
        shown = order(found.items(), name, seed=1)
        assert [given[item.id] for item in shown] == [GRADES[i % 4] for i in range(20)]


def fits_a_thumb(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    for button in page.locator("#grades button").all():
        box = button.bounding_box()
        assert box["height"] >= 44 and box["width"] >= 44 and box["y"] + box["height"] <= 844


LOOKED_AT = (
    "Subtracted", "Colour", "Faint", "Difference", "g band", "r band", "Faint", "Bright", "Colour",
)  # fmt: skip


def look_at_every_view(page: Page) -> None:
    views = page.locator("#views [aria-pressed=true]")
    for key, title in zip("llsdffsss", LOOKED_AT, strict=True):
        press(page, key)
        expect(views).to_contain_text(title)
    press(page, "z")
    expect(page.locator("#view-title")).to_have_text("Colour · 2×")


def test_keys_do_what_the_help_says_and_nothing_is_asked_of_others(controls, tmp_path, killables):
    grades = tmp_path / "grades.sqlite"
    server = Server(controls, grades, unused_port())
    killables.append(server)
    with sync_playwright() as playwright:
        browser = Browser(tmp_path / "profile", playwright)
        killables.append(browser)
        page = browser.context.new_page()
        asked, faults = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda said: faults.append(said.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(server.addresses["anna"])
        expect(page.locator("#saved")).to_have_text("all saved")
        assert "token" not in page.url  # it does not stay in the address

        look_at_every_view(page)

        press(page, "t")
        page.keyboard.type("a blue arc")  # letters of a note are no grades
        page.keyboard.press("Enter")
        press(page, "b")
        press(page, "a")
        expect(page.locator("#last")).to_have_text("Object 2: A, saved.")
        press(page, "u")
        expect(page.locator("#which")).to_have_text("Object 2 of 20")
        expect(page.locator("#done")).to_have_text("1")
        press(page, "ArrowLeft")
        expect(page.locator("#given")).to_have_text("B, saved")
        expect(page.locator("#note")).to_have_value("a blue arc")
        press(page, "c")
        expect(page.locator("#which")).to_have_text("Object 2 of 20")
        press(page, "u")  # back to B
        expect(page.locator("#given")).to_have_text("B, saved")
        press(page, "?")
        expect(page.locator("#help-box")).to_be_visible()
        press(page, "a")  # no grade while help is open
        page.keyboard.press("Escape")
        saved(page, 1)
        host = server.addresses["anna"].split("/?")[0]
        assert {url.split("/")[2] for url in asked} == {host.removeprefix("http://")}
        assert faults == []

        fits_a_thumb(page)
        page.locator("#next").click()
        page.locator("#big:not(.waiting)").wait_for()
        page.locator("[data-grade=none]").click()
        saved(page, 2)
    rows = open_grades(grades).now()
    assert [(row["grade"], row["note"]) for row in rows if row["note"]] == [("B", "a blue arc")]
    assert [row["grade"] for row in open_grades(grades).events()] == [
        "B", "A", None, "C", None, "none",
    ]  # fmt: skip
