"""What the README shows works as it stands there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from harness.cli import cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(language: str, holding: str) -> str:
    """Return the code block in *language* that holds some text."""
    blocks: list[str] = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return next(text for text in blocks if holding in text)


def harness(*arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path.cwd()), str(ROOT / "tests")])
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": path},
    )


def test_meter_of_the_readme_is_listed_runs_and_is_scored() -> None:
    Path("harness_switches.py").write_text(block("python", "SwitchMeter"))
    chosen = ("--plugin", "harness_switches")
    assert "switches" in harness("list", "meters", *chosen).stdout

    words = ("--plugin", "chaos", "--executor", "bare", "--dataset", "nothing", "--device", "cpu")
    done = harness("run", *chosen, *words, "--model", "done", "--model", "wait", "--meter", "switches")
    assert 0 == done.returncode, done.stderr
    scored = harness("score", "harness.sqlite", "--resource", "switches", "--format", "json")
    assert all(row["pepr"] is not None for row in json.loads(scored.stdout)["rows"])


def test_measure_of_the_readme_works(capsys: pytest.CaptureFixture[str]) -> None:
    text = block("python", "harness.measure(").partition("\nresult =")[0]
    exec(text, {"work": lambda: sum(range(10**5))})

    assert 3 == len(capsys.readouterr().out.split())


def test_pytest_example_of_the_readme_passes(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def predict(): return sum(range(1000))\n" + block("python", "test_predict_is_small"))

    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_study_file_of_the_readme_is_understood() -> None:
    Path("study.toml").write_text(block("toml", "study.toml").replace("epochs", "epoch"))

    assert "line 5: unknown key 'epoch'; did you mean 'epochs'" in harness("run", "study.toml", "--dry-run").stderr


def test_every_command_of_the_readme_is_there() -> None:
    named = set(re.findall(r"`harness ([a-z]+)", README))

    with click.Context(cli) as context:
        assert named <= set(cli.list_commands(context))


def test_links_of_the_readme_lead_somewhere() -> None:
    links: list[str] = re.findall(r"\]\(([^)#:]+)\)", README)

    assert [] == [link for link in links if not (ROOT / link).exists()]
