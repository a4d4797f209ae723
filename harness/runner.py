"""The story of one study: choose the meters, plan the trials, run and store each, hand the store to be ranked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from attrs import field, frozen

from harness.environment import changed_versions, describe_environment, nvidia_cards, package_versions
from harness.fitting import fit_trials, told_changes
from harness.interruption import stop_on_signals
from harness.plugins_loader import Plugins
from harness.preparing import check_jobs, fetch_weights, total
from harness.records import Event, Failed, Origin, Trial
from harness.registry import Registry
from harness.store.reading import open_reader
from harness.store.store import Store
from harness.store.store_file import checked_place
from harness.study import Study, plan_trials
from harness.workers.executor import Executor, Job


class Show(Protocol):
    """Where a run tells what happens; `harness.progress` writes it on the terminal."""

    def tell(self, message: str) -> None:
        """Show one line."""

    def planned(self, trials: Sequence[Trial], to_run: Mapping[str, str]) -> None:
        """Told of all trials and, by key, why some of them have to run."""

    def event(self, event: Event) -> None:
        """Told of each event after it is stored."""


@frozen
class Plan:
    """The trials of a study, with why some of them have to run (by key), and the meters."""

    trials: tuple[Trial, ...]
    to_run: Mapping[str, str]
    meters: tuple[str, ...]

    def jobs(self, study: Study) -> list[Job]:
        """Return what to hand to the executor, in the order of the plan."""
        return [
            Job(
                trial=trial,
                meters=self.meters,
                plugins=study.plugins,
                data_dir=str(study.data_dir) if study.data_dir else None,
                weights_dir=str(study.weights_dir) if study.weights_dir else None,
                download=study.download,
                timeout=study.timeout,
                meter_options=study.meter_options,
                sharp=study.sharp,
                pue=study.pue,
                baseline=study.baseline,
            )
            for trial in self.trials
            if trial.key in self.to_run
        ]


@frozen
class RunResult:
    """How a run ended: the trials that failed, by key, and the signal that interrupted it."""

    store: Path
    trials: tuple[Trial, ...]
    failed: Mapping[str, Failed] = field(factory=dict)
    signum: int | None = None

    @property
    def exit_code(self) -> int:
        """0 all well, 1 a trial failed, 128 + signal where the run was interrupted."""
        if self.signum is not None:
            return 128 + self.signum
        return 1 if self.failed else 0


def run_study(study: Study, plugins: Plugins, show: Show, origin: Origin = "run") -> RunResult:
    """Run *study*: every trial that is not yet in its store, each event stored before the next begins.

    *origin* is stored with it: who began it.

    Raises HarnessError where the request cannot be met; nothing has run or been written then.
    """
    with _executor(study, plugins.registry) as executor:
        plan = _plan(study, plugins, executor, show)
        for warning in _other_versions(study.store, plan):
            show.tell(warning)
        show.planned(plan.trials, plan.to_run)
        if not plan.to_run:
            return RunResult(study.store, plan.trials)
        show.tell("checking the models (this starts torch)")
        fetch_weights(check_jobs(plan.jobs(study), executor), executor, show.tell)
        told = _tell_notes(executor, show)
        with Store.open(study.store) as store:
            for note in store.notes:
                show.tell(note)
            study_id = store.begin_study(describe_environment(study.asked(), plugins, origin))
            failed, signum = _run_jobs(plan.jobs(study), study_id, plugins, store, executor, show)
        _tell_notes(executor, show, told)
        return RunResult(study.store, plan.trials, failed, signum)


def plan_study(study: Study, plugins: Plugins, show: Show) -> Plan:
    """Return what *study* would run, having checked it as far as that goes without running; writes nothing.

    Raises HarnessError as `run_study`.
    """
    with _executor(study, plugins.registry) as executor:
        plan = _plan(study, plugins, executor, show)
        missing = check_jobs(plan.jobs(study), executor)
        if missing:
            show.tell(f"would download {total(missing)}")
        return plan


def _plan(study: Study, plugins: Plugins, executor: Executor, show: Show) -> Plan:
    checked_place(study.store)
    meters = choose_meters(study, plugins.registry, show)
    asked = plan_trials(study, plugins.registry, _device(study, executor))
    trials = fit_trials(asked, study, plugins.registry, executor)
    for line in told_changes(asked, trials):
        show.tell(line)
    to_run = dict.fromkeys((trial.key for trial in trials), "new")
    if study.store.exists() and study.store.stat().st_size:
        with open_reader(study.store) as reader:
            to_run = reader.unfinished(trials, _resources(meters, plugins.registry), study.force)
    return Plan(tuple(trials), to_run, tuple(meters))


def choose_meters(study: Study, registry: Registry, show: Show) -> list[str]:
    """Return the names of the study's meters; tell which ones "auto" left out, and what is estimated for want of one.

    Raises HarnessError for one that is unknown or does not work here.
    """
    named = [name for name in study.meters if name != "auto"]
    registry.check_meters(named, study.meter_options)
    if "auto" not in study.meters:
        return list(dict.fromkeys(named))

    automatic, left_out = registry.automatic_meters(study.meter_options)
    absent = [name for name in left_out if name not in named]
    if absent:
        show.tell(f"meters left out: {', '.join(absent)} (`harness doctor` says why)")
    for line in [*registry.in_vain(left_out, study.meter_options), *registry.estimates(automatic)]:
        show.tell(line)
    return list(dict.fromkeys([*named, *automatic]))


def _run_jobs(
    jobs: Sequence[Job], study_id: int, plugins: Plugins, store: Store, executor: Executor, show: Show
) -> tuple[dict[str, Failed], int | None]:
    """Run *jobs*, each event stored before the next begins; return what failed and the signal that stopped it."""
    store.add_trials(study_id, [job.trial for job in jobs])
    failed: dict[str, Failed] = {}
    with stop_on_signals() as stop:
        for event in executor.execute(jobs, stop):
            store.record(study_id, event)
            with stop.breakable():
                plugins.tell(event)
            show.event(event)
            if isinstance(event, Failed):
                failed[event.trial] = event
        return failed, stop.signum


def _other_versions(store: Path, plan: Plan) -> list[str]:
    """Return a warning where finished trials of the plan ran with other versions than those to come will."""
    finished = {trial.key for trial in plan.trials} - plan.to_run.keys()
    if not plan.to_run or not finished:
        return []

    with open_reader(store) as reader:
        studies = {row["study"] for row in reader.trials(accepted=True) if row["trial"] in finished}
        ran = [row["packages"] for row in reader.studies() if row["study"] in studies and row["origin"] != "import"]
    now = package_versions()
    changed = dict.fromkeys(change for packages in ran for change in changed_versions(packages, now))
    return [f"warning: finished trials ran with other versions: {', '.join(changed)}"] if changed else []


def _tell_notes(executor: Executor, show: Show, told: int = 0) -> int:
    """Tell the executor's notes from number *told* on, and return how many there are."""
    for note in executor.notes[told:]:
        show.tell(note)
    return len(executor.notes)


def _resources(meters: Iterable[str], registry: Registry) -> list[str]:
    return [resource for name in meters for resource in registry.meters.get(name).resources]


def _executor(study: Study, registry: Registry) -> Executor:
    factory = registry.executors.get(study.executor)
    with registry.guarded("executor", study.executor):
        executor: Executor = factory({"plugins": study.plugins})
        executor.execute  # noqa: B018 (raises AttributeError for what is none)
        return executor


def _device(study: Study, executor: Executor) -> str:
    """Return the kind of device: what was asked for, else cuda where torch can use it.

    A machine without an NVIDIA driver is told by the driver's library, which spares the start of torch.
    """
    if study.device is not None:
        return study.device
    if not nvidia_cards()[0]:
        return "cpu"
    return executor.call("harness.workers.preflight:find_device", b"").decode()
