"""A web server on the loopback interface that answers as its paths say."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from urllib.parse import parse_qs, urlsplit

_CHUNK = b"x" * 65536


class WebServer(ThreadingHTTPServer):
    """Answers by path.

    `/echo` returns the request as JSON; `/status?code=` that status; `/redirect?to=&code=` a redirect, `/loop` one to itself;
    `/text?hex=&type=` those bytes as that content type; `/endless` a body without end, `/endless-redirect?to=` a redirect with one;
    `/hang` nothing, `/hang-in-body` the start of a body and no more.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[str] = []
        """The request lines that came in."""
        self.hung_up = Event()
        """Set when a client closed a connection on which it was owed more."""

    def url(self, path: str) -> str:
        """The address of `path`."""
        return f"http://127.0.0.1:{self.server_port}{path}"


class _Handler(BaseHTTPRequestHandler):
    server: WebServer
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        self.server.requests.append(self.requestline)
        services = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(services.query).items()}
        match services.path:
            case "/echo":
                self._reply(200, json.dumps(self._request()).encode(), {"Content-Type": "application/json"})
            case "/status":
                self._reply(int(query["code"]), b"as you wish")
            case "/redirect":
                self._reply(int(query.get("code", "302")), b"", {"Location": query["to"]})
            case "/loop":
                self._reply(302, b"", {"Location": "/loop"})
            case "/text":
                self._reply(200, bytes.fromhex(query["hex"]), {"Content-Type": query.get("type", "text/plain")})
            case "/endless":
                self._flood(200, {})
            case "/endless-redirect":
                self._flood(302, {"Location": query["to"]})
            case "/hang":
                self._wait_for_hang_up()
            case "/hang-in-body":
                self._head(200, {"Content-Length": "100"})
                self.wfile.write(b"start")
                self._wait_for_hang_up()

    do_GET = do_POST = do_PUT = do_HEAD = answer  # noqa: N815 - http.server's names

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _request(self) -> dict[str, object]:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): text for name, text in self.headers.items()}
        return {"method": self.command, "headers": headers, "body": body.decode()}

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name, text)
        self.end_headers()

    def _reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self._head(status, {"Content-Length": str(len(body))} | (headers or {}))
        if self.command != "HEAD":
            self.wfile.write(body)

    def _flood(self, status: int, headers: dict[str, str]) -> None:
        self._head(status, {"Content-Length": str(1 << 50)} | headers)
        with suppress(OSError):
            while True:
                self.wfile.write(_CHUNK)
        self._hang_up()

    def _wait_for_hang_up(self) -> None:
        with suppress(OSError):
            self.connection.recv(1)
        self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True
        self.server.hung_up.set()


@contextmanager
def web_server() -> Iterator[WebServer]:
    """Serve until the block ends."""
    with WebServer() as server:
        serving = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        try:
            yield server
        finally:
            server.shutdown()
            serving.join()
