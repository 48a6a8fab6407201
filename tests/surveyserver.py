"""A web server with a coadd tree and the viewer's cutout service, that misbehaves as it is told."""

import contextlib
import io
import re
import threading
import time
from collections import Counter, defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from bricktree import header, image
from darkhaloscope.survey.bricks import SIDE_PIX, Brick
from darkhaloscope.units import BANDS


class Survey:
    """What is served, and how badly.

    root : coadd tree, served below /tree; bricks : served by the service, with galaxies at ra, dec
    faults : by a piece of the address, what to do with the next requests, in turn: 404, 429, 503,
        'slow', 'cut' (body shorter than said), 'short' (a shorter file), 'small' (wrong size),
        'text', 'blank-r', 'no-psf'; 'always:X' does X from then on
    """

    def __init__(self, root: Path | None = None, bricks=(), ra=(), dec=()):
        self.root = root
        self.planes = {(b.name, band): image(b, band, ra, dec) for b in bricks for band in BANDS}
        self.bricks: dict[str, Brick] = {b.name: b for b in bricks}
        self.faults: dict[str, list] = defaultdict(list)
        self.asked: Counter[str] = Counter()
        self.bytes_sent = 0
        self.times: list[float] = []
        self.lock = threading.Lock()

    def fault(self, address: str):
        with self.lock:
            self.asked[address] += 1
            self.times.append(time.monotonic())
            for piece, todo in self.faults.items():
                if piece in address and todo:
                    if str(todo[0]).startswith("always:"):
                        what = todo[0].partition(":")[2]
                        return int(what) if what.isdigit() else what
                    return todo.pop(0)
        return None

    def answer(self, address: str, fault) -> bytes | None:
        """The whole body; None if there is no such thing."""
        if "/tree/" in address:
            path = self.root / address.partition("/tree/")[2]
            return path.read_bytes() if path.is_file() else None
        query = {k: v[0] for k, v in parse_qs(urlparse(address).query, True).items()}
        ra, dec, size = float(query["ra"]), float(query["dec"]), int(query.get("size", 0))
        if "coadd-psf" in address:
            return self.psf(fault)
        if fault == "small":
            size -= 8
        return (
            self.native(ra, dec, size, fault) if "subimage" in query else self.mask(ra, dec, size)
        )

    def native(self, ra, dec, size, fault) -> bytes:
        hdus = [fits.PrimaryHDU()]
        for name, brick in self.bricks.items():
            cards = header(brick)
            x, y = WCS(cards).all_world2pix(ra, dec, 1)
            if not np.isfinite([x, y]).all():
                continue
            x0, y0 = (round(float(v) - size / 2) - 1 for v in (x, y))
            x1, y1 = (int(np.clip(v + size - 1, 0, SIDE_PIX - 1)) for v in (x0, y0))
            x0, y0 = (int(np.clip(v, 0, SIDE_PIX - 1)) for v in (x0, y0))
            if x0 == x1 or y0 == y1:
                continue
            for band in BANDS:
                pixels = self.planes[name, band][y0 : y1 + 1, x0 : x1 + 1]
                if fault == f"blank-{band}":
                    pixels = np.zeros_like(pixels)
                for kind in ("image", "invvar"):
                    one = cards.copy()
                    one["BRICK"], one["BAND"], one["IMAGETYP"] = name, band, kind
                    one["CRPIX1"] -= x0
                    one["CRPIX2"] -= y0
                    data = pixels if kind == "image" else np.full_like(pixels, 1e5)
                    hdus.append(fits.ImageHDU(data, one))
        return _written(hdus)

    def mask(self, ra, dec, size) -> bytes:
        cards = fits.Header({"IMAGETYP": "IMAGE"})
        bits = np.zeros((size, size), np.int16)
        bits[size // 2 + 20, size // 2 + 10] = 2048
        return _written(
            [
                fits.PrimaryHDU(np.zeros((3, size, size), np.float32), cards),
                fits.ImageHDU(bits, fits.Header({"IMAGETYP": "MASKBITS"})),
            ]
        )

    def psf(self, fault) -> bytes:
        y, x = np.indices((63, 63)) - 31.0
        hdus = []
        for i, band in enumerate(BANDS):
            if fault == "no-psf" and band == "z":
                continue
            psf = np.exp(-(x**2 + y**2) / 2 / (2.5 - 0.2 * i) ** 2).astype(np.float32)
            kind = fits.ImageHDU if hdus else fits.PrimaryHDU
            hdus.append(kind(psf, fits.Header({"BAND": band})))
        return _written(hdus)


def _written(hdus) -> bytes:
    stream = io.BytesIO()
    fits.HDUList(hdus).writeto(stream)
    return stream.getvalue()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer waits for an acknowledgement
    survey: Survey

    def log_message(self, *_):
        pass

    def do_GET(self):
        fault = self.survey.fault(self.path)
        if isinstance(fault, int):
            return self._send(fault, b"not now", {"Retry-After": "0"} if fault == 429 else {})
        if fault == "text":
            return self._send(200, b"<html>Server is restarting</html>")
        if fault == "slow":
            time.sleep(1.5)
        body = self.survey.answer(self.path, fault)
        if body is None:
            return self._send(404, b"no such file")
        if fault == "short":
            body = body[: len(body) // 3]
        return self._send_range(body, cut=fault == "cut")

    def _send_range(self, body: bytes, cut: bool):
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not asked:
            return self._send(200, body, cut=cut)
        first = int(asked[1])
        last = min(int(asked[2] or len(body)), len(body) - 1)
        if first >= len(body):
            return self._send(416, b"")
        said = {"Content-Range": f"bytes {first}-{last}/{len(body)}"}
        return self._send(206, body[first : last + 1], said, cut=cut)

    def _send(self, status: int, body: bytes, more=None, cut=False):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            for name, value in (more or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if cut else body)
            if cut:
                self.close_connection = True
        self.survey.bytes_sent += len(body)


@contextlib.contextmanager
def serving(survey: Survey):
    """Yields the server's address."""
    handler = type("Handler", (_Handler,), {"survey": survey})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
