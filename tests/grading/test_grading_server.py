"""The server answers a grader's own page, and nobody else."""

import asyncio
import json
import uuid
from dataclasses import dataclass, field

import pytest
from aiohttp.test_utils import TestClient, TestServer, unused_port

from darkhaloscope.errors import DhsError
from darkhaloscope.grading.guard import cookie_name
from darkhaloscope.grading.pictures import VIEWS
from darkhaloscope.grading.server import HERE, application, listening
from darkhaloscope.report.canvas import png_size

PORT = unused_port()
OURS = f"http://{HERE}:{PORT}"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict
    body: bytes

    @property
    def json(self) -> dict:
        return json.loads(self.body)


@dataclass
class Ask:
    """One request, as a page of ours would send it, but for what a test changes."""

    method: str
    path: str
    headers: dict = field(default_factory=dict)
    body: object = None

    def without(self, name: str) -> "Ask":
        return Ask(
            self.method,
            self.path,
            {k: v for k, v in self.headers.items() if k != name},
            self.body,
        )

    def having(self, **headers: str) -> "Ask":
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Ask(self.method, self.path, self.headers | named, self.body)


def answers(desk, tokens, *asks: Ask) -> list[Answer]:
    async def every() -> list[Answer]:
        app = application(desk, tokens, PORT)
        async with TestClient(TestServer(app, host=HERE, port=PORT)) as client:
            found = []
            for ask in asks:
                client.session.cookie_jar.clear()
                body = ask.body if isinstance(ask.body, str | None) else json.dumps(ask.body)
                async with client.request(
                    ask.method, ask.path, headers=ask.headers, data=body
                ) as answer:
                    found.append(Answer(answer.status, dict(answer.headers), await answer.read()))
            return found

    return asyncio.run(every())


def get(path: str, token: str) -> Ask:
    return Ask("GET", path, {"X-Grade-Token": token})


def post(token: str, item: str, action: str = "grade", **other) -> Ask:
    body = {"key": str(uuid.uuid4()), "item": item, "action": action}
    body |= ({"grade": "B", "note": "", "seconds": 1.5} if action == "grade" else {}) | other
    headers = {"X-Grade-Token": token, "Origin": OURS, "Content-Type": "application/json"}
    return Ask("POST", "/api/event", headers, body)


@pytest.fixture
def desk_and_token(grades_of):
    desk, tokens = grades_of("anna", "ben")
    return desk, tokens, tokens["anna"], next(iter(desk.items))


def test_the_page_is_there_for_whom_it_is(desk_and_token):
    desk, tokens, token, _ = desk_and_token
    first, *rest = answers(
        desk,
        tokens,
        Ask("GET", f"/?token={token}"),
        *(
            Ask("GET", path, {"Cookie": f"{cookie_name(PORT)}={token}"})
            for path in ("/", "/page/main.js", "/page/page.css", "/page/outbox.js")
        ),
    )
    assert first.status == 200 and b"<title>Grading" in first.body
    cookie = first.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert [a.status for a in rest] == [200] * 4
    assert rest[1].headers["Content-Type"].startswith("text/javascript")


def test_every_request_without_a_token_is_403(desk_and_token):
    desk, tokens, token, item = desk_and_token
    paths = ["/", "/page/main.js", "/page/none", "/nowhere", "/api/session", "/api/picture/x"]
    asks = [Ask("GET", path) for path in paths]
    asks += [get(path, "wrong") for path in paths]
    asks += [Ask("GET", "/?token=wrong"), Ask("GET", "/?token=é"), Ask("GET", "/?token=")]
    asks += [post("wrong", item), post(token, item).without("X-Grade-Token")]
    asks += [Ask(m, "/api/session") for m in ("POST", "PUT", "DELETE", "OPTIONS", "HEAD")]
    # what a cookie opens is the page, never its data
    cookie = {"Cookie": f"{cookie_name(PORT)}={token}"}
    asks += [Ask("GET", "/api/session", cookie), Ask("GET", f"/api/picture/{item}", cookie)]
    asks += [post(token, item).without("X-Grade-Token").having(**cookie)]
    found = answers(desk, tokens, *asks)
    assert {a.status for a in found} == {403}, [
        (q.path, a.status) for q, a in zip(asks, found, strict=True)
    ]
    assert not any(item.encode() in a.body for a in found)
    assert desk.grades.events() == []


def test_another_host_or_origin_is_403(desk_and_token):
    desk, tokens, token, item = desk_and_token
    hosts = ("evil.example", f"evil.example:{PORT}", HERE, f"{HERE}:{PORT + 1}", f"0.0.0.0:{PORT}")
    asks = [get("/api/session", token).having(Host=host) for host in hosts]
    asks += [post(token, item).having(Host=host, Origin=f"http://{host}") for host in hosts]
    asks += [
        post(token, item).having(Origin=origin)
        for origin in ("http://evil.example", "null", f"https://{HERE}:{PORT}", f"http://{HERE}")
    ]
    asks += [post(token, item).without("Origin")]
    asks += [post(token, item).having(Sec_Fetch_Site=site) for site in ("cross-site", "same-site")]
    assert {a.status for a in answers(desk, tokens, *asks)} == {403}
    assert desk.grades.events() == []


def test_a_form_of_another_site_cannot_be_mistaken_for_a_grade(desk_and_token):
    desk, tokens, token, item = desk_and_token
    asks = [
        post(token, item).having(Content_Type=kind)
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data")
    ]
    assert {a.status for a in answers(desk, tokens, *asks)} == {415}
    assert desk.grades.events() == []


def test_localhost_is_the_same_machine(desk_and_token):
    desk, tokens, token, item = desk_and_token
    host = f"localhost:{PORT}"
    (answer,) = answers(desk, tokens, post(token, item).having(Host=host, Origin=f"http://{host}"))
    assert answer.status == 200


def test_a_grade_is_saved_as_the_grader_whose_token_it_is(desk_and_token):
    desk, tokens, token, item = desk_and_token
    one = post(token, item, grade="A", note="arc")
    other = post(tokens["ben"], item, grade="none")
    first, again, second, undone, session = answers(
        desk, tokens, one, one, other, post(token, item, "undo"), get("/api/session", token)
    )
    assert first.json == again.json == {"saved": one.body["key"], "grade": "A", "note": "arc"}
    assert second.json["grade"] == "none"
    assert undone.json["grade"] is None
    assert not any("grade" in it for it in session.json["items"])
    assert [(r["grader"], r["grade"]) for r in desk.grades.now()] == [("ben", "none")]
    assert len(desk.grades.events()) == 3


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"grade": "D"}, 400, "grade"),
        ({"grade": None}, 422, "a grade belongs to action grade"),
        ({"action": "undo"}, 422, "a grade belongs to action grade"),
        ({"action": "delete"}, 400, "action"),
        ({"item": "0123456789abcdef"}, 404, "there is no object 0123456789abcdef"),
        ({"key": "short"}, 400, "key"),
        ({"grader": "ben"}, 400, "unknown key 'grader'"),
        ({"note": "x" * 2001}, 400, "note"),
        ({"seconds": -1}, 400, "seconds"),
    ],
)
def test_a_wrong_event_is_refused_with_what_is_allowed(desk_and_token, change, status, words):
    desk, tokens, token, item = desk_and_token
    ask = post(token, item)
    ask.body |= change
    (answer,) = answers(desk, tokens, ask)
    assert answer.status == status and words in answer.json["error"]
    assert desk.grades.events() == []


@pytest.mark.parametrize(("body", "status"), [("{", 400), ("[1]", 400), ("x" * 20000, 413)])
def test_what_is_no_event_is_refused(desk_and_token, body, status):
    desk, tokens, token, item = desk_and_token
    ask = post(token, item)
    ask.body = body
    assert [a.status for a in answers(desk, tokens, ask)] == [status]


def test_a_used_key_and_an_undo_of_nothing_are_refused(desk_and_token):
    desk, tokens, token, item = desk_and_token
    one = post(token, item, grade="A")
    same_key = post(token, item, grade="B", key=one.body["key"])
    other = post(token, list(desk.items)[1], "undo")
    found = answers(desk, tokens, one, same_key, other)
    assert [a.status for a in found] == [200, 409, 422]


def test_a_picture_is_of_all_views_and_unknown_ones_are_404(desk_and_token):
    desk, tokens, token, item = desk_and_token
    picture, unknown, post_there = answers(
        desk,
        tokens,
        get(f"/api/picture/{item}", token),
        get("/api/picture/none", token),
        Ask("GET", "/page/..%2fserver.py", {"Cookie": f"{cookie_name(PORT)}={token}"}),
    )
    assert png_size(picture.body) == (len(VIEWS) * 32, 32)
    assert unknown.status == post_there.status == 404


def test_where_it_is_is_told_only_when_asked_and_then_kept(desk_and_token):
    desk, tokens, token, item = desk_and_token
    (answer,) = answers(desk, tokens, post(token, item, "peek"))
    found = desk.items[item].found
    assert answer.json["viewer"] == (
        f"https://www.legacysurvey.org/viewer?ra={found.ra_deg:.6f}&dec={found.dec_deg:.6f}"
        "&layer=ls-dr10-south&zoom=15"
    )
    assert [e["action"] for e in desk.grades.events()] == ["peek"]


def test_answers_carry_their_protection(desk_and_token):
    desk, tokens, token, item = desk_and_token
    asks = [Ask("GET", f"/?token={token}"), get("/api/session", token), Ask("GET", "/")]
    for answer in answers(desk, tokens, *asks, get(f"/api/picture/{item}", token)):
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'") and "unsafe" not in policy
        assert "://" not in policy
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_only_this_machine_is_listened_to_and_a_taken_port_is_said():
    with listening(0) as here:
        host, port = here.getsockname()
        assert host == "127.0.0.1"
        with pytest.raises(DhsError, match=f"port {port} of 127.0.0.1: .* name another"):
            listening(port)
