"""What `docs/plugins.md` says of each hook is so, and its examples are a package that works."""

from __future__ import annotations

import inspect
import json
import re
import sys
from pathlib import Path

import pytest
from fresh_environment import FreshEnvironment, write_package

from harness import hookspecs
from harness.plugins_loader import PluginChoice, load_plugins

PAGE = (Path(__file__).parent.parent / "docs" / "plugins.md").read_text(encoding="utf-8")
HOOKS = {name: spec for name, spec in vars(hookspecs).items() if name.startswith("harness_")}
# Heading of a hook -> what is written below it.
SECTIONS = dict(re.findall(r"^### (harness_\w+)\n(.*?)(?=^###|\Z)", PAGE, re.DOTALL | re.MULTILINE))
TRAINING = ("--scratch", "--epochs", "8", "--batch-size", "8", "--lr", "0.005", "--device", "cpu")
JSON = ("--format", "json")
WEIGHTS = ("--resource", "switches", "--resource", "time=2")


def module(hook: str) -> tuple[str, str]:
    """Return the name and the code of the example of *hook*."""
    (code,) = re.findall(r"```python\n(.*?)```", SECTIONS[hook], re.DOTALL)
    return code.splitlines()[0].removeprefix("# ").removesuffix(".py"), code


def test_there_is_one_heading_for_each_hook_in_the_order_of_the_hookspecs() -> None:
    assert list(HOOKS) == re.findall(r"^### (.*)$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("hook", HOOKS)
def test_signature_is_exact(hook: str) -> None:
    signature = str(inspect.signature(HOOKS[hook])).replace("'", "")

    assert f"`def {hook}{signature}`" in SECTIONS[hook].splitlines()


@pytest.mark.parametrize("hook", HOOKS)
def test_it_says_in_which_process_the_hook_is_called(hook: str) -> None:
    told = SECTIONS[hook].partition("Called ")[2].partition("```")[0]

    assert re.search(r"runner|worker|each process|command line's process|as `harness_resolve_model`", told)


@pytest.mark.parametrize("hook", HOOKS)
def test_example_is_a_plugin_with_that_hook_and_no_fault(
    hook: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, code = module(hook)
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)

    plugins = load_plugins(PluginChoice(wanted=(name,), autoload=False))
    assert [] == plugins.faults
    assert hook in plugins.hooks_of(name)


@pytest.mark.slow
def test_examples_together_are_a_package_that_works(fresh_environment: FreshEnvironment, tmp_path: Path) -> None:
    package = write_package(tmp_path, "acme-docs", dict(module(hook) for hook in HOOKS))
    models, datasets = ("--model", "linear", "--model", "mlp:8"), ("--dataset", "halves", "--dataset", "noise:3")
    meters = ("--meter", "switches", "--meter", "time", "--meter", "carbon", "--location", "own-roof")
    with fresh_environment.installed(package):
        done = fresh_environment.harness("run", *models, *datasets, *TRAINING, *meters, "--score", "frugality", *JSON)
        weighed = fresh_environment.harness("score", "harness.sqlite", *WEIGHTS, *JSON)
        counted = fresh_environment.harness("count", "harness.sqlite")

    assert 0 == done.returncode, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert 4 == len([row for row in rows if row["frugality"] > 0])
    assert {"linear": 1.0, "mlp:8": 1.0} == {r["model"]: r["performance"] for r in rows if "halves" in r["group"]}
    assert all(row["pepr"] is not None for row in json.loads(weighed.stdout)["rows"])
    assert "4\n" == counted.stdout
    assert 4 == len(Path("trials.log").read_text().splitlines())


@pytest.mark.slow
def test_task_and_executor_of_the_examples_work(fresh_environment: FreshEnvironment, tmp_path: Path) -> None:
    wanted = ("harness_run_trial", "harness_register_executors", "harness_carbon_intensity")
    package = write_package(tmp_path, "acme-sorting", dict(module(hook) for hook in wanted))
    words = ("--model", "*timsort", "--dataset", "numbers", "--device", "cpu", "--executor", "light")
    meters = ("--meter", "time", "--meter", "carbon", "--location", "own-roof")
    with fresh_environment.installed(package):
        done = fresh_environment.harness("run", *words, *meters, *JSON)
    exported = fresh_environment.harness("export", "harness.sqlite", "--table", "readings", *JSON)

    assert 0 == done.returncode, done.stderr
    assert {"timsort": 1.0, "reversed-timsort": 0.0} == {
        row["model"]: row["performance"] for row in json.loads(done.stdout)["rows"]
    }
    assert {41.0} == {row["value"] for row in json.loads(exported.stdout) if row["resource"] == "carbon_intensity"}


def test_study_file_of_the_page_chooses_plugins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from harness.__main__ import main

    (text,) = re.findall(r"```toml\n(# study.toml\n.*?)```", PAGE, re.DOTALL)
    Path("study.toml").write_text(text.replace('"carbon"', '"no_such_plugin"').replace('"harness_switches"', '"timm"'))

    assert 2 == main(["run", "study.toml", "--dry-run"])
    assert "unknown plugin 'no_such_plugin'" in capsys.readouterr().err
