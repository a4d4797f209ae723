"""`harness_trial(...)`: a full trial in a worker of its own, from a test; and the ranking of all that a suite ran."""

from __future__ import annotations

import io
import os
import signal
import tempfile
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, cast

import pytest
from attrs import fields

from harness.errors import HarnessError, unknown
from harness.plugins_loader import Plugins, load_plugins
from harness.progress import Progress
from harness.records import Failed, Trial
from harness.runner import RunResult, run_study
from harness.study import METER_OPTIONS, Study
from harness.suites.budgets import Budgets
from harness.suites.failing import failing
from harness.suites.settings import read_settings
from harness.suites.trial_result import TrialResult, read_result

# What a trial is given by other names, or not to be given at all.
_OWN = ("models", "datasets", "seeds", "store", "force")


class Trials:
    """Runs the trials of one pytest run, and ranks them at its end."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._settings = read_settings(config)
        self._store = self._settings.store or _temporary_store(config)
        self._ran: dict[str, None] = {}
        # What failed, told beside the ranking: an earlier attempt at it may stand there.
        self._failed: list[str] = []

    def run(
        self, model: str, dataset: str, *, seed: int | None = None, reuse: bool = False, **options: Any
    ) -> TrialResult:
        """Fine-tune, meter and store *model* on *dataset* in a process of its own, and return what came out.

        The meters are those of --harness-meter, else every one that works here; the store is that of --harness-store,
        else one that is gone after the run. A trial that cannot be run or fails fails the test, in one line.

        Args:
            reuse: take the result of a trial that is finished in the store, rather than run it again.
            options: the other fields of `harness.study.Study`, such as `epochs=3` or `weights="scratch"`.
        """
        with failing():
            _refuse_neighbours()
            study = self._study(model, dataset, {} if seed is None else {"seeds": (seed,)}, options, reuse)
            show = Progress()
            plugins = load_plugins(study.plugins, on_fault=show.tell)
            _refuse_several(study, plugins)
            result = run_study(study, plugins, show, origin="pytest")
        return self._result(result)

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the PePR of the trials of this run, ranked."""
        if not self._ran:
            return
        try:
            lines = _ranking(self._store, list(self._ran))
        except HarnessError as error:
            lines = [f"harness: the trials cannot be ranked: {error}"]
        terminalreporter.write_sep("-", "harness: what the trials achieve per resource", yellow=True)
        for line in [*lines, *self._failed]:
            terminalreporter.write_line(line)

    def _study(
        self, model: str, dataset: str, seeds: Mapping[str, Any], options: Mapping[str, Any], reuse: bool
    ) -> Study:
        known = [field.name for field in fields(Study) if field.name not in _OWN]
        for name in sorted(options.keys() - set(known)):
            raise unknown("option of harness_trial()", name, ["model", "dataset", "seed", "reuse", *known])
        given = {name: value for name, value in self._settings.meter_options.items() if name in METER_OPTIONS}
        chosen: dict[str, Any] = {"meters": self._settings.meters or ("auto",), **given, **options, **seeds}
        if isinstance(chosen["meters"], str):
            chosen["meters"] = (chosen["meters"],)
        return Study(models=(model,), datasets=(dataset,), store=self._store, force=not reuse, **chosen)

    def _result(self, result: RunResult) -> TrialResult:
        """Return what is stored of the one trial of *result*; one that failed fails the test."""
        (trial,) = result.trials
        if trial.key in result.failed or result.signum is None:
            self._ran[trial.key] = None
        if result.signum is not None:
            _stop(result.signum)
        if trial.key in result.failed:
            self._failed.append(_told(trial, result.failed[trial.key]))
            pytest.fail(self._failed[-1], pytrace=False)
        with failing():
            found = read_result(self._store, trial)
        budgets = self._config.pluginmanager.get_plugin("harness-budgets")
        if budgets is not None:
            cast(Budgets, budgets).record(found.taken())
        return found


def _temporary_store(config: pytest.Config) -> Path:
    folder = tempfile.TemporaryDirectory(prefix="harness-trials-")
    config.add_cleanup(folder.cleanup)
    return Path(folder.name) / "harness.sqlite"


def _refuse_neighbours() -> None:
    if int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) > 1:
        raise HarnessError("trials beside each other would disturb each other's meters; run with -n 0")


def _refuse_several(study: Study, plugins: Plugins) -> None:
    names = plugins.registry.match_models(study.models[0])
    if len(names) > 1:
        raise HarnessError(
            f"{study.models[0]!r} means {len(names)} models, and harness_trial runs one; parametrise the test over them"
        )


def _told(trial: Trial, failed: Failed) -> str:
    return f"trial of {trial.model} on {trial.dataset}: {failed.status}: {failed.reason}"


def _stop(signum: int) -> None:
    if signum == signal.SIGINT:
        raise KeyboardInterrupt
    pytest.exit(f"stopped by {signal.Signals(signum).name} in a trial", returncode=128 + signum)


def _ranking(store: Path, keys: list[str]) -> list[str]:
    from harness.scoring.ranking import Request, score_source
    from harness.scoring.score_report import write_score
    from harness.sources.table import Query

    score = score_source(store, Request(Query(trials=keys)), strict=False)
    text = io.StringIO()
    with redirect_stdout(text):
        write_score(score, "table", None)
    return [*(line.rstrip() for line in text.getvalue().splitlines()), *(f"warning: {one}" for one in score.warnings)]
