"""The hub's side of published weights, against a server on 127.0.0.1 that behaves as told."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hub_server import COMMIT, Hub, serving

REPOSITORY, FILE = "timm/tiny.in1k", "model.safetensors"
CONTENT = bytes(range(256)) * 64
ASK = "print(json.dumps([vars_of(answer) for answer in ask_hub(json.loads(sys.argv[1]))]))"
DOWNLOAD = "print(json.dumps(got(lambda: download(*json.loads(sys.argv[1])))))"
# huggingface_hub reads its variables when it is imported: each test needs an interpreter of its own.
PRELUDE = """
import json, sys
from harness.weights.hub import HubError, ask_hub, download
def vars_of(answer):
    return {"reason": str(answer)} if isinstance(answer, HubError) else {"file": answer.file, "size": answer.size}
def got(call):
    try:
        return {"path": call()}
    except HubError as error:
        return vars_of(error)
"""


def told(program: str, argument: Any, endpoint: str, **environment: str) -> Any:
    own = {"HF_ENDPOINT": endpoint, "HF_HOME": str(Path.cwd() / "hf"), "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1"}
    waits = {"HF_HUB_ETAG_TIMEOUT": "1", "HF_HUB_DOWNLOAD_TIMEOUT": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, "-c", PRELUDE + program, json.dumps(argument)]
    done = subprocess.run(
        command,
        env={**os.environ, **own, **waits, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr)
    return json.loads(done.stdout)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving(files={f"{REPOSITORY}/{FILE}": CONTENT}) as hub:
        yield hub


def many(number: int) -> list[tuple[str, str]]:
    return [(f"timm/model{count}", FILE) for count in range(number)]


@contextmanager
def deaf_server() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_hub_tells_the_size_without_sending_the_file(hub: Hub) -> None:
    answers = told(ASK, [(REPOSITORY, FILE)], hub.endpoint)

    assert [{"file": FILE, "size": len(CONTENT)}] == answers
    assert [("HEAD", f"/{REPOSITORY}/resolve/main/{FILE}")] == hub.seen


def test_older_form_is_found_where_there_is_no_safetensors() -> None:
    with serving(files={f"{REPOSITORY}/pytorch_model.bin": CONTENT}) as hub:
        assert [{"file": "pytorch_model.bin", "size": len(CONTENT)}] == told(ASK, [(REPOSITORY, FILE)], hub.endpoint)


@pytest.mark.parametrize(
    ("repository", "about", "reason"),
    [
        ("timm/none", {}, "the hub has no timm/none"),
        (REPOSITORY, {"files": {f"{REPOSITORY}/config.json": b"{}"}}, f"{REPOSITORY} has no {FILE}"),
        (REPOSITORY, {"status": 500}, f"the hub answered 500 for {REPOSITORY}"),
        (REPOSITORY, {"plain": True}, "does not answer as the hub does; is a proxy between?"),
    ],
    ids=["no repository", "no file", "500", "a page to log in"],
)
def test_what_the_hub_refuses_has_a_reason(repository: str, about: dict[str, Any], reason: str, hub: Hub) -> None:
    for name, value in about.items():
        setattr(hub, name, value)
    (answer,) = told(ASK, [(repository, FILE)], hub.endpoint)

    assert answer["reason"].endswith(reason)


def test_many_files_are_asked_for_at_once_but_not_all(hub: Hub) -> None:
    hub.files, hub.delay = {f"{repository}/{file}": b"x" for repository, file in many(33)}, 0.05
    answers = told(ASK, many(33), hub.endpoint)

    assert 33 == len([answer for answer in answers if "size" in answer])
    assert 2 <= hub.most_at_once <= 8


def test_hub_that_refuses_connections_is_found_out_once() -> None:
    answers = told(ASK, many(131), "http://127.0.0.1:1")

    assert {"http://127.0.0.1:1 cannot be reached (ConnectError)"} == {answer["reason"] for answer in answers}


def test_hub_that_never_answers_is_waited_for_once() -> None:
    begun = time.monotonic()
    with deaf_server() as endpoint:
        answers = told(ASK, many(131), endpoint)

    assert {f"{endpoint} cannot be reached (ReadTimeout)"} == {answer["reason"] for answer in answers}
    assert time.monotonic() - begun < 30


def test_offline_nothing_is_asked(hub: Hub) -> None:
    (answer,) = told(ASK, [(REPOSITORY, FILE)], hub.endpoint, HF_HUB_OFFLINE="1")

    assert "HF_HUB_OFFLINE is set, so that the hub is not asked" == answer["reason"]
    assert [] == hub.seen


def test_download_ends_in_the_cache_under_the_commit_and_is_not_repeated(hub: Hub) -> None:
    path = Path(told(DOWNLOAD, (REPOSITORY, FILE), hub.endpoint)["path"])
    asked = len(hub.seen)

    assert (CONTENT, COMMIT) == (path.read_bytes(), path.parent.name)
    assert path.is_relative_to(Path.cwd() / "hf")
    assert str(path) == told(DOWNLOAD, (REPOSITORY, FILE), hub.endpoint)["path"]
    assert asked == len(hub.seen)


def test_download_that_breaks_off_is_taken_up_where_it_ended(hub: Hub) -> None:
    # More than the client reads at once: what it has not read whole, it does not keep.
    hub.files[f"{REPOSITORY}/{FILE}"], hub.cut = bytes(12 << 20), 11 << 20
    path = Path(told(DOWNLOAD, (REPOSITORY, FILE), hub.endpoint)["path"])

    assert bytes(12 << 20) == path.read_bytes()
    assert 2 == [command for command, _ in hub.seen].count("GET")


def test_download_that_breaks_off_for_good_leaves_nothing(hub: Hub) -> None:
    hub.ends = 1000
    answer = told(DOWNLOAD, (REPOSITORY, FILE), hub.endpoint)

    assert f"the download of {REPOSITORY} broke off (RemoteProtocolError)" == answer["reason"]
    assert [] == [file for file in Path("hf").rglob("*") if file.is_file() and file.stat().st_size >= 1000]


def test_cache_that_cannot_be_written_is_told(hub: Hub) -> None:
    Path("file").touch()
    answer = told(DOWNLOAD, (REPOSITORY, FILE), hub.endpoint, HF_HOME=str(Path("file").resolve()))

    assert f"{REPOSITORY} cannot be written to the cache" in answer["reason"]


def test_digest_that_the_hub_told_is_found_in_the_cache(hub: Hub) -> None:
    program = "from harness.weights.hub import download, promised_digest; "
    program += "print(json.dumps(promised_digest(download(*json.loads(sys.argv[1])))))"

    assert hashlib.sha256(CONTENT).hexdigest() == told(program, (REPOSITORY, FILE), hub.endpoint)
