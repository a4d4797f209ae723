"""`harness list`, `harness doctor` and how the command line ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.__main__ import main


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    assert 0 == main(["list", *arguments, "--format", "json"])
    document = json.loads(capsys.readouterr().out)
    assert "harness.list/1" == document["schema"]
    rows: list[dict[str, Any]] = document["rows"]
    return rows


def test_models_tell_name_parameters_tags_and_plugin(capsys: pytest.CaptureFixture[str]) -> None:
    row = listed(capsys, "models", "resnet18d")[0]

    assert {"name", "parameters", "tags", "plugin"} <= row.keys()
    assert (11708744, ["pepr131", "small", "cnn", "resnet"], "timm") == (row["parameters"], row["tags"], row["plugin"])
    assert ("ra2_in1k", "any") == (row["weights"], row["image_sizes"])


def test_models_are_chosen_by_glob_and_tag(capsys: pytest.CaptureFixture[str]) -> None:
    assert ["resnet18d", "resnet34d"] == [row["name"] for row in listed(capsys, "models", "resnet[13][84]d")]
    assert ["cspresnet50", "cs3sedarknet_l", "cspdarknet53", "cs3edgenet_x", "cs3se_edgenet_x"] == [
        row["name"] for row in listed(capsys, "models", "--tag", "cspnet", "--tag", "efficient")
    ]


def test_meters_tell_what_they_read_and_whether_they_work(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row["name"]: row for row in listed(capsys, "meters")}

    assert (["time"], True, None, "time") == tuple(
        rows["time"][name] for name in ("resources", "available", "reason", "plugin")
    )


@pytest.mark.parametrize("kind", ["models", "datasets", "meters", "executors", "scores", "plugins"])
def test_every_kind_is_a_table_and_csv(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["list", kind])
    assert capsys.readouterr().out.startswith("name")
    assert 0 == main(["list", kind, "--format", "csv"])
    assert capsys.readouterr().out.startswith("name,")


def test_plugins_tell_what_they_bring_and_which_hooks_they_have(capsys: pytest.CaptureFixture[str]) -> None:
    row = next(row for row in listed(capsys, "plugins") if row["name"] == "digits")

    assert ("pepr-harness", True, ["dataset digits"], ["harness_register_datasets"]) == tuple(
        row[name] for name in ("distribution", "enabled", "registers", "hooks")
    )


def test_denied_plugin_is_listed_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    row = next(row for row in listed(capsys, "plugins", "--no-plugin", "digits") if row["name"] == "digits")

    assert (False, "denied") == (row["enabled"], row["reason"])


def test_many_models_of_a_plugin_are_a_number_to_people_and_names_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    names = next(row for row in listed(capsys, "plugins") if row["name"] == "timm")["registers"]
    assert 0 == main(["list", "plugins", "timm"])

    assert "model resnet18d" in names
    assert f"{len(names)} models" in capsys.readouterr().out


def test_list_goes_to_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["list", "models", "--format", "json", "-o", "models.json"])

    assert "" == capsys.readouterr().out
    assert "harness.list/1" == json.loads(Path("models.json").read_text())["schema"]


def test_doctor_says_of_each_meter_and_device_whether_it_works(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["doctor", "--format", "json"])

    rows = {(row["kind"], row["name"]): row for row in json.loads(capsys.readouterr().out)}
    assert "yes" == rows["meter", "time"]["works"]
    assert {("device", "cpu"), ("device", "cuda"), ("packages", "vision"), ("workers", "forkserver")} <= rows.keys()
    assert rows["device", "cuda"]["what"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list", "modells"], "'modells' is not one of"),
        (["list", "meters", "--tag", "small"], "--tag chooses models; meters have no tags"),
        (["list", "models", "-o", "no/such/folder/x.csv", "--format", "csv"], "cannot write 'no/such/folder/x.csv'"),
        (["frobnicate"], "No such command 'frobnicate'"),
        (["list", "models", "--format", "xml"], "'xml' is not one of"),
        (["list", "models", "--format", "parquet"], "--format parquet needs a file"),
        (["list", "models", "--plugin", "no_such_plugin"], "plugin 'no_such_plugin' cannot be used"),
    ],
)
def test_wrong_request_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 2 == main(arguments)

    told = capsys.readouterr()
    assert "" == told.out
    assert 1 == len(told.err.splitlines())
    assert message in told.err


def install(monkeypatch: pytest.MonkeyPatch, name: str, load: Any) -> None:
    """Make *load* the entry point *name* of the distribution harness-NAME 2.1."""
    from types import SimpleNamespace

    monkeypatch.delenv("HARNESS_DISABLE_PLUGIN_AUTOLOAD")
    found = SimpleNamespace(name=name, load=load, dist=SimpleNamespace(name=f"harness-{name}", version="2.1"))
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [found])


def test_plugin_adds_a_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    import click

    from harness.cli import cli
    from harness.hookspecs import hookimpl

    class Mine:
        @hookimpl
        def harness_add_commands(self, cli: click.Group) -> None:
            cli.add_command(click.Command("greet", callback=lambda: click.echo("hello"), help="Say hello."))

    install(monkeypatch, "mine", Mine)
    monkeypatch.setattr(cli, "_asked", False)
    monkeypatch.setattr(cli, "commands", {})
    assert 0 == main(["--help"])
    assert "greet" in capsys.readouterr().out

    assert 0 == main(["greet"])
    assert "hello\n" == capsys.readouterr().out


def test_plugin_that_cannot_be_loaded_is_told_on_stderr_and_the_rest_is_listed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ImportError("no module named x")

    install(monkeypatch, "broken", fail)
    assert 0 == main(["list", "meters"])

    told = capsys.readouterr()
    assert "time" in told.out
    assert "harness: plugin 'broken' (harness-broken 2.1) cannot be loaded: ImportError: no module named x" in told.err
