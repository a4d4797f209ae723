"""A hub on 127.0.0.1: answers as huggingface.co does to those who want a file, and misbehaves as told.

The file's metadata is on the answer to a HEAD, which for a large file is a redirection to another origin, as to the
hub's content servers; that one knows ranges.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from attrs import define, field

COMMIT = "c0ffee" * 6 + "c0de"


@define
class Hub:
    """What the server has and how it behaves; tests change it while it runs.

    `files` maps "REPOSITORY/FILE" to content. `ends` is the absolute position after which every answer breaks off,
    `cut` how many bytes one answer holds before the connection is closed, `delay` [s] comes before each answer.
    """

    files: dict[str, bytes] = field(factory=dict)
    status: int | None = None
    ends: int | None = None
    cut: int | None = None
    delay: float = 0.0
    plain: bool = False
    corrupt: bool = False
    seen: list[tuple[str, str]] = field(factory=list)
    agents: list[str] = field(factory=list)
    active: int = 0
    most_at_once: int = 0
    endpoint: str = ""
    content: str = ""


@contextmanager
def serving(**about: Any) -> Iterator[Hub]:
    """Run a hub, and beside it the server of its large files, for the block."""
    hub = Hub(**about)
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub, kind)) for kind in (_HubHandler, _ContentHandler)]
    hub.endpoint, hub.content = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    for server in servers:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield hub
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


def _handler(hub: Hub, kind: type[_Handler]) -> type[_Handler]:
    return type(kind.__name__, (kind,), {"hub": hub})


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the tests' output is the tests'."""

    def note(self) -> None:
        """Remember the request, and how many are under way."""
        self.hub.seen.append((self.command, self.path))
        self.hub.agents.append(self.headers.get("User-Agent", ""))
        self.hub.active += 1
        self.hub.most_at_once = max(self.hub.most_at_once, self.hub.active)
        time.sleep(self.hub.delay)
        self.hub.active -= 1

    def answer(self, status: int, content: bytes = b"", **headers: str) -> None:
        """Answer with *headers*, whose names have _ for -."""
        self.send_response(status)
        for name, value in {"Content_Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


class _HubHandler(_Handler):
    """`/OWNER/NAME/resolve/REVISION/FILE`."""

    def do_HEAD(self) -> None:
        self.note()
        repository, _, rest = self.path.lstrip("/").partition("/resolve/")
        name = f"{repository}/{rest.partition('/')[2]}"
        if self.hub.status is not None:
            return self.answer(self.hub.status)
        if self.hub.plain:
            return self.answer(200, b"<html>log in to the network</html>", Content_Type="text/html")
        if name in self.hub.files:
            return self.redirect(self.hub.files[name])
        known = any(file.startswith(f"{repository}/") for file in self.hub.files)
        code = "EntryNotFound" if known else "RepoNotFound"
        return self.answer(404 if known else 401, X_Error_Code=code, X_Error_Message="not here")

    do_GET = do_HEAD  # noqa: N815  the name is http.server's

    def redirect(self, content: bytes) -> None:
        """Tell about a large file, and where its content is."""
        digest = hashlib.sha256(content).hexdigest()
        self.answer(
            302,
            Location=f"{self.hub.content}/{digest}",
            X_Repo_Commit=COMMIT,
            X_Linked_Size=str(len(content)),
            X_Linked_Etag=f'"{digest}"',
            ETag='"of-the-pointer"',
        )


class _ContentHandler(_Handler):
    """`/SHA256`."""

    def do_GET(self) -> None:
        self.note()
        content = next(c for c in self.hub.files.values() if hashlib.sha256(c).hexdigest() == self.path[1:])
        if self.hub.corrupt:
            content = content[:-1] + bytes([content[-1] ^ 1])
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        stop = min(self.hub.ends or len(content), start + (self.hub.cut or len(content)))
        self.wfile.write(content[start:stop])
        self.close_connection = True
