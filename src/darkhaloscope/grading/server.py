"""The web server of a grading session: pages and answers, for this machine alone."""

import asyncio
import json
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from importlib.resources import files

from aiohttp import web
from pydantic import ValidationError

from darkhaloscope.config import explain
from darkhaloscope.errors import DhsError
from darkhaloscope.grading.desk import Desk, Sent, Unknown
from darkhaloscope.grading.guard import GRADER, cookie_name, guard
from darkhaloscope.grading.store import Conflict

HERE = "127.0.0.1"
_PAGE = files("darkhaloscope.grading") / "page"
_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_LARGEST_BODY = 1 << 14
_PAINTERS = 2
_PICTURES_KEPT = 512


def application(desk: Desk, tokens: Mapping[str, str], port: int) -> web.Application:
    """The server, for graders by their tokens."""
    painters = ThreadPoolExecutor(_PAINTERS, "painter")
    paint = lru_cache(_PICTURES_KEPT)(desk.picture)

    async def kept(work, *args):
        return await asyncio.get_running_loop().run_in_executor(desk.keeper, work, *args)

    async def session(request: web.Request) -> web.Response:
        return web.json_response(await kept(desk.session, request[GRADER]))

    async def picture(request: web.Request) -> web.Response:
        loop = asyncio.get_running_loop()
        try:
            png = await loop.run_in_executor(painters, paint, request.match_info["item"])
        except DhsError as error:
            raise _refused(error) from error
        return web.Response(body=png, content_type="image/png")

    async def event(request: web.Request) -> web.Response:
        sent = _sent(await request.text())
        try:
            return web.json_response(await kept(desk.keep, request[GRADER], sent))
        except DhsError as error:
            raise _refused(error) from error

    app = web.Application(middlewares=[guard(tokens, port)], client_max_size=_LARGEST_BODY)
    app.router.add_get("/", partial(_page, port))
    app.router.add_get("/page/{name}", _static)
    app.router.add_get("/api/session", session)
    app.router.add_get("/api/picture/{item}", picture)
    app.router.add_post("/api/event", event)
    return app


async def _page(port: int, request: web.Request) -> web.Response:
    """The page; whoever brought a token in the address gets it back as a cookie, for a reload."""
    answer = _file("index.html")
    if token := request.query.get("token"):
        answer.set_cookie(cookie_name(port), token, httponly=True, samesite="Strict", path="/")
    return answer


async def _static(request: web.Request) -> web.Response:
    return _file(request.match_info["name"])


def _file(name: str) -> web.Response:
    found = {path.name: path for path in _PAGE.iterdir()}.get(name)
    if found is None:
        raise web.HTTPNotFound(text=f"there is no page {name}")
    kind = _TYPES[name[name.rindex(".") :]]
    return web.Response(text=found.read_text("utf-8"), content_type=kind, charset="utf-8")


def _sent(text: str) -> Sent:
    try:
        return Sent(**json.loads(text))
    except ValidationError as error:
        raise web.HTTPBadRequest(text=explain(error, Sent, "event")) from error
    except (ValueError, TypeError) as error:
        raise web.HTTPBadRequest(text=f"an event is a JSON object: {error}") from error


def _refused(error: DhsError) -> web.HTTPException:
    if isinstance(error, Unknown):
        return web.HTTPNotFound(text=str(error))
    if isinstance(error, Conflict):
        return web.HTTPConflict(text=str(error))
    return web.HTTPUnprocessableEntity(text=str(error))


def listening(port: int) -> socket.socket:
    """A socket that only this machine reaches. Raises DhsError if the port is taken."""
    try:
        return socket.create_server((HERE, port))
    except OSError as error:
        raise DhsError(
            f"port {port} of {HERE}: {error.strerror}; name another with --port"
        ) from error


def run(desk: Desk, tokens: Mapping[str, str], here: socket.socket) -> None:
    """Serve until interrupted."""
    app = application(desk, tokens, here.getsockname()[1])
    web.run_app(app, sock=here, print=None, access_log=None, shutdown_timeout=1.0)
