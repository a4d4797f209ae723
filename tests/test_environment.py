"""Facts of machine and software, and that nothing of the user's environment leaks into them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from harness.environment import changed_versions, describe_environment, git_commit, machine_facts
from harness.plugins_loader import load_plugins


def test_secrets_of_the_environment_are_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "HARNESS_TOKEN"):
        monkeypatch.setenv(name, "canary-secret")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")

    record = describe_environment({"epochs": 1}, load_plugins())
    text = json.dumps([record.settings, record.machine, record.packages, record.plugins, record.commit])
    assert "canary-secret" not in text
    assert {"OMP_NUM_THREADS": "2"} == record.machine["variables"]


def test_machine_is_described() -> None:
    facts = machine_facts()

    assert facts["processor"]
    assert facts["memory_bytes"] > 1 << 20
    assert facts["threads"] >= 1


def test_only_plugins_in_use_are_stored_with_their_versions() -> None:
    record = describe_environment({}, load_plugins())

    assert {"time", "memory", "timm", "digits"} <= record.plugins.keys()


def test_commit_is_that_of_the_users_project(tmp_path: Path) -> None:
    assert git_commit(tmp_path) is None

    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", *identity, "commit", "-q", "--allow-empty", "-m", "x"], cwd=tmp_path, check=True)
    assert 40 == len(git_commit(tmp_path) or "")


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ({"a": "1"}, {"a": "1"}, []),
        ({"a": "1", "b": "2"}, {"a": "3", "c": "4"}, ["a 1 -> 3", "b 2 -> none", "c none -> 4"]),
    ],
)
def test_changed_versions_are_named(before: dict[str, str], now: dict[str, str], expected: list[str]) -> None:
    assert expected == changed_versions(before, now)
