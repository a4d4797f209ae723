"""Downloads: whole, checked and under their name, or not at all."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.errors import HarnessError
from harness.plugins.images import downloading
from harness.plugins.images.downloading import download

CONTENT = b"images" * 1000
MD5 = hashlib.md5(CONTENT).hexdigest()
TARGET = Path("data/set.npz")
Serve = Callable[[bytes], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Gives a function that answers one request with the bytes given, whatever they are, and returns the URL."""
    threads: list[threading.Thread] = []

    def once(answer: bytes) -> str:
        listening = socket.create_server(("127.0.0.1", 0))
        threads.append(threading.Thread(target=_answer, args=(listening, answer)))
        threads[-1].start()
        return f"http://127.0.0.1:{listening.getsockname()[1]}/set.npz"

    yield once
    for thread in threads:
        thread.join(10)


def _answer(listening: socket.socket, answer: bytes) -> None:
    with listening, listening.accept()[0] as connection:
        connection.recv(4096)
        connection.sendall(answer)


def reply(content: bytes, status: str = "200 OK", length: int | None = None) -> bytes:
    size = len(content) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n".encode() + content


def test_file_has_its_name_once_all_of_it_is_there(serve: Serve) -> None:
    download(serve(reply(CONTENT)), TARGET, MD5)

    assert CONTENT == TARGET.read_bytes()
    assert [TARGET] == list(TARGET.parent.iterdir())


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (reply(CONTENT[:-5]), "gave another file than expected"),
        (reply(CONTENT[:-5], length=len(CONTENT)), "it ended after 5995 of 6000 bytes"),
        (reply(b"none here", "404 Not Found"), "cannot download .*: .*Not Found; try again, or put the file there"),
        (reply(b"slowly", "429 Too Many Requests"), "Too Many Requests"),
        (reply(b"", length=10**18), "1000000000000000000 bytes are to come, and"),
        (b"", "cannot download"),
        (b"nonsense\r\n\r\n", "cannot download"),
        (reply(b"", "302 Found\r\nLocation: file:///etc/passwd"), "cannot download"),
    ],
    ids=["other", "cut", "missing", "refused", "no-room", "silent", "nonsense", "redirected-to-a-file"],
)
def test_what_goes_wrong_is_one_line_and_leaves_nothing(serve: Serve, answer: bytes, told: str) -> None:
    with pytest.raises(HarnessError, match=told) as refused:
        download(serve(answer), TARGET, MD5)

    assert "\n" not in str(refused.value)
    assert [] == list(TARGET.parent.iterdir())


def test_silent_server_is_given_up(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloading, "_TIMEOUT_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as listening, pytest.raises(HarnessError, match="timed out"):
        download(f"http://127.0.0.1:{listening.getsockname()[1]}/set.npz", TARGET, MD5)


def test_nobody_there_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(HarnessError, match="Connection refused"):
        download(f"http://127.0.0.1:{port}/set.npz", TARGET, MD5)


def test_other_addresses_than_of_the_web_are_not_opened() -> None:
    Path("secret").write_text("secret")

    with pytest.raises(HarnessError, match="only http and https"):
        download(Path("secret").absolute().as_uri(), TARGET, MD5)


def test_folder_that_cannot_be_made_is_told() -> None:
    Path("data").write_text("a file")

    with pytest.raises(HarnessError, match="cannot download .* to 'data/set.npz': File exists"):
        download("http://127.0.0.1:9/", TARGET, MD5)


def test_file_is_on_the_disk_before_it_has_its_name(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    sync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        order.append("fsync")
        sync(descriptor)

    def replaced(self: Path, target: Any) -> Path:
        order.append("replace")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    download(serve(reply(CONTENT)), TARGET, MD5)

    assert ["fsync", "replace", "fsync"] == order


def test_remains_of_a_killed_download_are_removed_and_those_of_a_living_one_are_not(serve: Serve) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    TARGET.parent.mkdir()
    dead, alive, elsewhere = (
        TARGET.parent / f".set.npz.{host}-{pid}.part"
        for host, pid in ((platform.node(), ended.pid), (platform.node(), os.getppid()), ("other", ended.pid))
    )
    for path in (dead, alive, elsewhere):
        path.write_text("half")
    download(serve(reply(CONTENT)), TARGET, MD5)

    assert {TARGET, alive, elsewhere} == set(TARGET.parent.iterdir())


def test_download_says_what_comes_and_how_much(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    url = serve(reply(CONTENT))
    download(url, TARGET, MD5)

    assert f"downloading {url} (5.859 KiB)\n" == capsys.readouterr().err


def test_room_is_looked_for_where_the_file_goes(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []
    usage = shutil.disk_usage
    monkeypatch.setattr(shutil, "disk_usage", lambda path: asked.append(path) or usage(path))
    download(serve(reply(CONTENT)), TARGET, MD5)

    assert [TARGET.parent] == asked
