"""`harness plugin new`: what it writes installs, passes its own tests and is listed; what it refuses, in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fresh_environment import FreshEnvironment

from harness.__main__ import main
from harness.cli.plugin_package import KINDS

NAME = "grown-here"


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_package_installs_passes_its_tests_and_is_listed(
    kind: str, fresh_environment: FreshEnvironment, tmp_path: Path
) -> None:
    folder = tmp_path / "package"
    made = fresh_environment.harness("plugin", "new", NAME, "--kind", kind, "-o", str(folder))
    assert (0, f"{folder}\n") == (made.returncode, made.stdout), made.stderr

    with fresh_environment.installed(folder):
        listed = fresh_environment.harness("list", f"{kind}s", NAME, "--format", "json")
        tested = fresh_environment.python("-W", "error", "-m", "pytest", "-q", "-ra", str(folder))

    assert [(NAME, NAME)] == [(row["name"], row["plugin"]) for row in json.loads(listed.stdout)["rows"]]
    assert 0 == tested.returncode, tested.stdout + tested.stderr
    assert "passed" in tested.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_package_is_complete_and_no_blank_is_left(kind: str) -> None:
    assert 0 == main(["plugin", "new", NAME, "--kind", kind])

    written = {str(path.relative_to("harness-grown-here")): path for path in Path().rglob("*") if path.is_file()}
    expected = {"pyproject.toml", "README.md", ".github/workflows/tests.yml"}
    assert expected | {"harness_grown_here.py", "tests/test_harness_grown_here.py"} == written.keys()
    for path, file in written.items():
        text = file.read_text()
        assert "$" not in text.replace("${{ matrix", "")
        assert not path.endswith(".py") or compile(text, path, "exec")


def test_default_folder_is_named_after_the_plugin(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["plugin", "new", "spin", "--kind", "meter"])

    told = capsys.readouterr()
    assert "harness-spin\n" == told.out
    assert "harness list meters spin" in told.err
    assert [Path("harness-spin")] == list(Path().iterdir())


def test_empty_folder_is_filled() -> None:
    Path("mine").mkdir()

    assert 0 == main(["plugin", "new", "spin", "--kind", "meter", "-o", "mine"])
    assert Path("mine/harness_spin.py").is_file()


def test_folder_that_holds_something_is_left_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    Path("harness-spin").mkdir()
    Path("harness-spin/mine.py").write_text("precious")

    assert 2 == main(["plugin", "new", "spin", "--kind", "meter"])
    assert "'harness-spin' is there already; choose another folder with -o" in capsys.readouterr().err
    assert [Path("harness-spin/mine.py")] == list(Path("harness-spin").iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["Spin", "--kind", "meter"], "'Spin' is not"),
        (["spin_", "--kind", "meter"], "'spin_' is not"),
        (["9spin", "--kind", "meter"], "'9spin' is not"),
        (["spin--on", "--kind", "meter"], "'spin--on' is not"),
        (["spin\n", "--kind", "meter"], "single hyphens"),
        (["../spin", "--kind", "meter"], "'../spin' is not"),
        (["", "--kind", "meter"], "'' is not"),
        (["s" * 41, "--kind", "meter"], "at most 40 long"),
        (["harness-spin", "--kind", "meter"], "leave out 'harness'"),
        (["time", "--kind", "score"], "there is a plugin 'time' (pepr-harness"),
        (["resnet18d", "--kind", "model"], "the model 'resnet18d' is there already, from plugin 'timm' (pepr-harness"),
        (["energy-gpu", "--kind", "meter"], "'energy-gpu' means something else where a meter is named"),
        (["auto", "--kind", "meter"], "'auto' means something else"),
        (["performance", "--kind", "score"], "'performance' means something else where a score is named"),
        (["spin", "--kind", "metre"], "'metre' is not one of"),
        (["spin"], "--kind"),
        (["spin", "--kind", "meter", "-o", "/proc/no/such"], "cannot write '/proc/no/such'"),
    ],
)
def test_wrong_request_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 2 == main(["plugin", "new", *arguments])

    told = capsys.readouterr()
    assert "" == told.out
    assert 1 == len(told.err.splitlines())
    assert message in told.err
    assert [] == list(Path().iterdir())


@pytest.mark.slow
def test_one_package_of_each_kind_makes_a_whole_study(fresh_environment: FreshEnvironment, tmp_path: Path) -> None:
    names = {kind: f"my-{kind}" for kind in KINDS}
    folders = [tmp_path / name for name in names.values()]
    for (kind, name), folder in zip(names.items(), folders, strict=True):
        fresh_environment.harness("plugin", "new", name, "--kind", kind, "-o", str(folder))
    chosen = [word for kind, name in names.items() for word in (f"--{kind}", name)]
    with fresh_environment.installed(*folders):
        run = ("run", *chosen, "--meter", "time", "--scratch", "--epochs", "2", "--device", "cpu", "--format", "json")
        done = fresh_environment.harness(*run)
        weighed = fresh_environment.harness("score", "harness.sqlite", "--resource", "my_meter", "--format", "json")

    assert 0 == done.returncode, done.stderr
    (row,) = json.loads(done.stdout)["rows"]
    assert ("my-model", "time") == (row["model"], *row["resources"])
    assert row["my-score"] > 0
    assert json.loads(weighed.stdout)["rows"][0]["resources"]["my_meter"]["value"] > 0
