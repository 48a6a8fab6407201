"""Who may ask: only a page of this server, opened with a grader's own address.

Every other program of this machine, and every page that the grader's browser shows, can send
requests here. So each one must bring a grader's token, which no other page can read or guess; the
Host must be ours, so that a name which someone else points at this machine opens nothing; and what
changes something must come from our own page, as JSON.
"""

import hmac
from collections.abc import Mapping

from aiohttp import web

TOKEN_HEADER = "X-Grade-Token"
GRADER = web.RequestKey("grader", str)
"""Of a request that was let in: who asks."""

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def guard(tokens: Mapping[str, str], port: int):
    """Middleware that answers 403 to whom it does not know, and sets headers on every answer.

    tokens : of each grader
    """
    hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
    cookie = cookie_name(port)

    @web.middleware
    async def middleware(request: web.Request, handler) -> web.StreamResponse:
        try:
            grader = _grader(request, tokens, hosts, cookie)
            request[GRADER] = grader
            answer = await handler(request)
        except web.HTTPException as answered:
            answer = web.json_response({"error": answered.text}, status=answered.status)
        answer.headers.update(_HEADERS)
        return answer

    return middleware


def cookie_name(port: int) -> str:
    """Cookies of one machine are shared by its ports."""
    return f"dhs_grade_{port}"


def _grader(request: web.Request, tokens: Mapping[str, str], hosts: set[str], cookie: str) -> str:
    """Raises HTTPForbidden for a request that is not from a grader's own page."""
    if request.host not in hosts:
        raise web.HTTPForbidden(text="this address is not the server's own")
    api = request.path.startswith("/api/")
    brought = (
        request.headers.get(TOKEN_HEADER, "")
        if api  # a header, which no page of another site can send
        else request.query.get("token") or request.cookies.get(cookie, "")
    )
    grader = _known(brought, tokens)
    if request.method not in ("GET", "HEAD"):
        _from_our_page(request)
    return grader


def _known(brought: str, tokens: Mapping[str, str]) -> str:
    """Whose token it is; all are compared, each in constant time."""
    same = [
        grader
        for grader, token in tokens.items()
        if hmac.compare_digest(token.encode(), brought.encode())
    ]
    if not same:
        raise web.HTTPForbidden(text="open the address that `dhs grade serve` printed for you")
    return same[0]


def _from_our_page(request: web.Request) -> None:
    if request.headers.get("Origin") != f"http://{request.host}":
        raise web.HTTPForbidden(text="only the server's own page may change something")
    if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        raise web.HTTPForbidden(text="only the server's own page may change something")
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="send JSON, as application/json")
