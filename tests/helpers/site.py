"""A server on this machine that publishes files, and a stand-in for a missing network."""

import hashlib
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@dataclass
class Site:
    """Files that are published at `url`, and settings for how the server misbehaves."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True  # whether it honours Range
    breaks: int | None = None  # it sends so many bytes of an answer, then hangs up
    stalls: float = 0  # seconds that it waits before it hangs up
    asked: list[tuple[str, str | None]] = field(default_factory=list)  # path and Range

    def archive(self, name, **other):
        from cnntrain.data.fetch.download import Archive

        content = self.files[name]
        known = {"size": len(content), "digest": hashlib.sha256(content).hexdigest()}
        return Archive(f"{self.url}/{name}", name, **known | other)


class Handler(BaseHTTPRequestHandler):
    site: Site

    def do_HEAD(self):
        self.send_response(200)
        self.end_headers()

    def do_GET(self):
        wanted = self.headers.get("Range")
        self.site.asked.append((self.path, wanted))
        content = self.site.files.get(self.path[1:])
        if content is None:
            self.send_error(404)
            return
        first = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted else 0
        if not self.site.ranges:
            first = 0
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        self.wfile.write(content[first:][: self.site.breaks])
        time.sleep(self.site.stalls)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def site(monkeypatch):
    """Return a `Site` with a real server behind it."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    published = Site()
    handler = type("SiteHandler", (Handler,), {"site": published})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    published.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield published
    server.shutdown()
    server.server_close()


@pytest.fixture
def no_network(monkeypatch):
    """Refuse all connections, as a machine without a network does."""
    import socket

    def refuse(*arguments, **named):
        raise OSError(101, "Network is unreachable")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("getaddrinfo", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)
