"""Every hook of a plugin may raise anything, or answer nonsense: only the plugin's own part fails, and it is named."""

from __future__ import annotations

import datetime
import inspect
import os
import signal
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness import hookspecs
from harness.__main__ import main
from harness.cli import cli
from harness.errors import HarnessError
from harness.hookspecs import hookimpl
from harness.interruption import ctrl_c_remembered, stop_on_signals
from harness.plugins_loader import PluginChoice, Plugins, load_plugins
from harness.progress import Progress
from harness.records import Failed, Finished, Setting, Started, Trial
from harness.runner import plan_study
from harness.study import Study
from harness.workers import worker
from harness.workers.executor import Job

HOOKS = sorted(name for name in vars(hookspecs) if name.startswith("harness_"))
FAULTS = {
    "exception": "raise ValueError('no good')",
    "exit": "raise SystemExit(3)",
    "interrupt": "raise KeyboardInterrupt",
    "nonsense": "return 42",
    "unspeakable": "class Mute(Exception):\n        def __str__(self): raise ValueError\n    raise Mute",
}
NAMED = "'faulty' (dist-faulty 3.2)"


@pytest.fixture(autouse=True)
def remembered() -> Iterator[None]:
    with ctrl_c_remembered():
        yield


@pytest.fixture
def faulty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Install a plugin of one hook with one fault."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("HARNESS_DISABLE_PLUGIN_AUTOLOAD")
    monkeypatch.setattr(worker, "_plugins", {})

    def install(hook: str, fault: str) -> None:
        arguments = ", ".join(inspect.signature(getattr(hookspecs, hook)).parameters)
        code = f"from harness import hookimpl\n@hookimpl\ndef {hook}({arguments}):\n    {fault}\n"
        (tmp_path / "faulty.py").write_text(code)
        monkeypatch.delitem(sys.modules, "faulty", raising=False)
        entry = EntryPoint("faulty", "faulty", "harness")
        dist = SimpleNamespace(name="dist-faulty", version="3.2")
        found = [SimpleNamespace(name="faulty", load=entry.load, dist=dist)]
        monkeypatch.setattr("importlib.metadata.entry_points", lambda group: found)

    return install


def use(plugins: Plugins, hook: str) -> None:
    """Have *hook* called, and see that what others bring is there all the same."""
    if hook == "harness_resolve_model":
        assert "timm:resnet18" == plugins.registry.model("timm:resnet18").name
    elif hook == "harness_resolve_dataset":
        with pytest.raises(HarnessError, match="unknown dataset 'folded:x'"):
            plugins.registry.dataset("folded:x")
    elif hook == "harness_carbon_intensity":
        assert plugins.registry.intensity_at("DK", None) is not None
        assert plugins.registry.intensity_at("DK", datetime.datetime.now(datetime.timezone.utc)) is not None
    elif hook == "harness_trial_event":
        plugins.tell(Started("t", 1, "fork"))
    assert {"time", "nvml"} <= plugins.registry.meters.entries.keys()
    assert {"digits"} <= plugins.registry.datasets.entries.keys()
    assert {"local"} <= plugins.registry.executors.entries.keys()
    assert {"pepr"} <= plugins.registry.scores.entries.keys()


def test_there_is_a_hook_to_try() -> None:
    assert len(HOOKS) >= 11


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("hook", [name for name in HOOKS if name not in ("harness_run_trial", "harness_add_commands")])
def test_only_the_plugins_own_part_fails(faulty: Callable[[str, str], None], hook: str, fault: str) -> None:
    faulty(hook, FAULTS[fault])
    plugins = load_plugins(PluginChoice())
    use(plugins, hook)

    expected = 0 if (hook, fault) == ("harness_trial_event", "nonsense") else 1  # it has no answer to give
    assert expected == len(plugins.faults)
    assert all(NAMED in line and hook in line for line in plugins.faults)


@pytest.mark.parametrize("fault", FAULTS)
def test_command_that_cannot_be_added_leaves_the_others(
    faulty: Callable[[str, str], None],
    fault: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    faulty("harness_add_commands", FAULTS[fault])
    monkeypatch.setattr(cli, "_asked", False)

    assert 0 == main(["--help"])
    out, err = capsys.readouterr()
    assert "Fine-tune, meter and rank models." in out
    assert (fault == "nonsense") == (NAMED not in err)  # it has no answer to give


def end_of(task: str) -> object:
    """Run a trial of *task* in this process and return its only event."""
    told: list[object] = []
    trial = Trial("none", "none", Setting(), task=task)
    worker.run_job(Job(trial=trial, meters=("time",), plugins=PluginChoice()), told.append)
    (end,) = told
    return end


@pytest.mark.parametrize("fault", FAULTS)
def test_trial_that_only_a_faulty_plugin_takes_is_one_failed_trial_with_its_name(
    faulty: Callable[[str, str], None], fault: str
) -> None:
    faulty("harness_run_trial", FAULTS[fault])

    end = end_of("nobody's")
    assert isinstance(end, Failed)
    assert "failed" == end.status
    assert NAMED in end.reason


@pytest.mark.parametrize("fault", FAULTS)
def test_trial_of_others_is_left_to_them(
    faulty: Callable[[str, str], None], fault: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    faulty("harness_run_trial", FAULTS[fault])
    done = hookimpl(trylast=True)(lambda self, trial: {"performance": 0.5})
    monkeypatch.setattr(worker.ImageClassification, "harness_run_trial", done)

    end = end_of("multiclass")
    assert isinstance(end, Finished)
    assert NAMED in end.facts["plugin_faults"][0]
    assert NAMED in capfd.readouterr().err


def test_plugin_that_fails_after_it_began_ends_the_trial(faulty: Callable[[str, str], None]) -> None:
    faulty("harness_run_trial", "with window('train'): raise ValueError('no good')")

    end = end_of("multiclass")
    assert isinstance(end, Failed)
    assert f"ValueError: no good, in plugin {NAMED}" == end.reason


BRINGING = """
from harness import DatasetSpec, ModelSpec, hookimpl
from harness.testing import fake_dataset, fake_model

def create(num_outputs, in_chans, image_size, weights):
    FAULT_create
    return fake_model().create(num_outputs, in_chans, image_size, weights)

def load(image_size, root, download):
    FAULT_load
    return fake_dataset().load(image_size, root, download)

@hookimpl
def harness_register_models(register):
    register(ModelSpec("mine", create))

@hookimpl
def harness_register_datasets(register):
    register(DatasetSpec("mine", load, num_classes=2, in_chans=1, task="binary"))
"""


def end_with(faulty: Callable[[str, str], None], place: str, fault: str) -> Failed:
    """Run a trial of a plugin's own model and dataset, with a *fault* in its function *place*."""
    faulty("harness_trial_event", "...")
    code = BRINGING.replace(f"FAULT_{place}", fault).replace("FAULT_create", "").replace("FAULT_load", "")
    (Path(sys.path[0]) / "faulty.py").write_text(code)
    told: list[object] = []
    trial = Trial("mine", "mine", Setting(weights="scratch", image_size=8, epochs=1, device="cpu"), task="binary")
    worker.run_job(Job(trial=trial, meters=("time",), plugins=PluginChoice()), told.append)
    end = told[-1]
    assert isinstance(end, Failed)
    return end


@pytest.mark.parametrize("fault", [name for name in FAULTS if name != "nonsense"])
@pytest.mark.parametrize("place", ["create", "load"])
def test_model_or_dataset_that_fails_within_a_trial_is_told_with_its_plugin(
    faulty: Callable[[str, str], None], place: str, fault: str
) -> None:
    end = end_with(faulty, place, FAULTS[fault])

    assert "failed" == end.status
    assert end.reason.endswith(f", in plugin {NAMED}")
    assert f"in {place}\n" in end.detail


def test_memory_that_runs_out_in_a_dataset_is_told_as_such_with_its_plugin(faulty: Callable[[str, str], None]) -> None:
    end = end_with(faulty, "load", "raise MemoryError('too many images')")

    assert ("oom", f"MemoryError: too many images, in plugin {NAMED}") == (end.status, end.reason)


@pytest.mark.parametrize("place", ["create", "load"])
def test_ctrl_c_of_the_user_within_a_trial_is_no_fault_of_the_plugin(
    faulty: Callable[[str, str], None], place: str
) -> None:
    end = end_with(faulty, place, f"import os; os.kill({os.getpid()}, {int(signal.SIGINT)})")

    assert "interrupted" == end.status
    assert "in plugin" not in end.reason


def test_what_a_dataset_tells_the_user_stands_alone(faulty: Callable[[str, str], None]) -> None:
    end = end_with(faulty, "load", "from harness import HarnessError; raise HarnessError('no images.npz')")

    assert ("failed", "no images.npz") == (end.status, end.reason)


def test_ctrl_c_of_the_user_ends_what_a_plugin_does(faulty: Callable[[str, str], None]) -> None:
    faulty("harness_register_meters", f"import os; os.kill({os.getpid()}, {int(signal.SIGINT)})")

    with pytest.raises(KeyboardInterrupt):
        load_plugins(PluginChoice())


def test_hook_that_hangs_is_broken_off_by_the_second_signal(faulty: Callable[[str, str], None]) -> None:
    twice = f"for _ in 'ab': os.kill({os.getpid()}, {int(signal.SIGINT)})"
    faulty("harness_trial_event", f"import os, time\n    {twice}\n    time.sleep(60)")
    plugins = load_plugins(PluginChoice())
    with stop_on_signals() as stop, stop.breakable():
        plugins.tell(Started("t", 1, "fork"))

    assert signal.SIGINT == stop.signum
    assert "raised in harness_trial_event: KeyboardInterrupt" in plugins.faults[0]


def test_plugin_for_a_newer_harness_says_which_one_it_needs(
    faulty: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    faulty("harness_trial_event", "...")
    code = "from harness import hookimpl\n@hookimpl\ndef harness_trial_event(event, study, tries=3): ...\n"
    (tmp_path / "faulty.py").write_text(code)
    monkeypatch.setattr(
        "importlib.metadata.requires", lambda name: ["attrs", "pepr-harness-extras>=1", "pepr-harness>=9.1"]
    )

    (fault,) = load_plugins(PluginChoice()).faults
    assert "harness_trial_event wants study, which pepr-harness 0.1.0 does not give" in fault
    assert "dist-faulty needs pepr-harness>=9.1" in fault


@pytest.mark.parametrize("factory", ["raise ValueError('no good')", "raise SystemExit(3)", "return 5"])
def test_executor_that_cannot_be_made_is_one_line_with_its_plugin(
    faulty: Callable[[str, str], None], factory: str
) -> None:
    faulty("harness_register_executors", f"def make(options):\n        {factory}\n    register('odd', make)")
    plugins = load_plugins(PluginChoice())
    study = Study(("timm:resnet18",), ("digits",), executor="odd", weights="scratch", device="cpu")

    with pytest.raises(HarnessError, match=r"executor 'odd' of plugin 'faulty' \(dist-faulty 3.2\) failed"):
        plan_study(study, plugins, Progress())


def test_more_plugins_are_named_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_PLUGINS", "one, two,,")

    assert ("zero", "one", "two") == PluginChoice.from_environment(("zero", "one")).wanted
