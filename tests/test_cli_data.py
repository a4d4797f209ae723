"""`harness data`: what is expected, what is there, what is wrong with it, and making it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from image_folders import write_classes
from lidc_archives import made_up_patches, write_hdf5, write_pickle

from harness.__main__ import main
from harness.store.reading import open_reader


def rows(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert code == main(["data", *arguments, "--format", "json"])
    document = json.loads(capsys.readouterr().out)
    assert "harness.data/1" == document["schema"]
    found: list[dict[str, Any]] = document["rows"]
    return found


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert 2 == main(["data", *arguments])
    return capsys.readouterr().err.strip().splitlines()[-1]


def harness(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def prepared(tmp_path: Path) -> str:
    """A data folder that was prepared from a pickle of 20 patches."""
    folder = str(tmp_path / "data")
    assert 0 == main(["data", "prepare", "lidc", "--from", str(write_pickle(tmp_path / "a")), "--data-dir", folder])
    return folder


def test_files_are_listed_with_whether_they_are_there(prepared: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = rows(capsys, "list", "lidc", "--data-dir", prepared)

    assert [("lidc", f"{prepared}/lidc.npz", True)] == [(row["dataset"], row["file"], row["present"]) for row in found]
    assert Path(prepared, "lidc.npz").stat().st_size == found[0]["bytes"]


def test_all_datasets_are_listed_and_those_without_files_too(capsys: pytest.CaptureFixture[str]) -> None:
    found = {row["dataset"]: row for row in rows(capsys, "list")}

    assert {"digits", "lidc", "lidc-series", "dermamnist"} <= found.keys()
    assert (None, None) == (found["digits"]["file"], found["digits"]["present"])
    assert found["lidc"]["present"] is False


def test_folder_of_images_is_there_and_has_no_size(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_classes("own")

    (found,) = rows(capsys, "list", "folder:own")
    assert ("own", True, None) == (found["file"], found["present"], found["bytes"])


def test_folder_may_come_from_the_environment(
    prepared: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_DATA_DIR", prepared)

    assert rows(capsys, "list", "lidc*")[1]["present"]


def test_listing_and_help_import_nothing_heavy() -> None:
    code = (
        "import sys; from harness.__main__ import main; main(['data', 'list']); "
        "sys.exit(', '.join({'torch', 'numpy', 'pandas', 'timm', 'h5py', 'medmnist'} & sys.modules.keys()) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert 0 == done.returncode, done.stderr


def test_verifying_ends_with_one_where_something_is_wrong(prepared: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = rows(capsys, "verify", "lidc", "--data-dir", prepared, code=1)

    wrong = [row["finding"] for row in found if not row["right"]]
    assert 1 == len(wrong)
    assert wrong[0].startswith("20 patches of 10 series, 8 of them positive, where the published set has 15,096")


def test_verifying_ends_with_zero_where_all_is_right(
    prepared: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("PUBLISHED", 20), ("PUBLISHED_SERIES", 10), ("PUBLISHED_POSITIVE", 8)):
        monkeypatch.setattr(f"harness.plugins.lidc.facts.{name}", value)

    assert all(row["right"] for row in rows(capsys, "verify", "lidc", "--data-dir", prepared))


def test_missing_file_is_told_with_how_to_make_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refusal(capsys, "verify", "lidc", "--data-dir", str(tmp_path))

    assert f"'{tmp_path}/lidc.npz' is not there" in line
    assert "harness data prepare lidc --from" in line


def test_preparing_from_hdf5_tells_that_the_split_is_not_the_papers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = str(write_hdf5(tmp_path / "a"))
    found = rows(capsys, "prepare", "lidc", "--from", source, "--data-dir", str(tmp_path / "data"))

    assert any("not the paper's split" in row["finding"] for row in found)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "found an empty file"),
        (b"<!DOCTYPE html><html>Quota exceeded</html>", "found a web page"),
        (b"PK\x03\x04", "found an archive to be unpacked first"),
        (b"(dp0\n.", "expected a pickle or an HDF5 file, found something else"),
        (b"\x80\x04cos\nsystem\nX\x06\x00\x00\x00touch \x85R.", "refused: it asks for os.system"),
        (b"\x89HDF\r\n\x1a\n", "found a damaged one"),
    ],
)
def test_file_that_is_no_archive_is_refused_with_one_line(
    content: bytes, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a").write_bytes(content)
    line = refusal(capsys, "prepare", "lidc", "--from", str(tmp_path / "a"), "--data-dir", str(tmp_path / "data"))

    assert told in line
    assert not (tmp_path / "data" / "lidc.npz").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["verify", "lid"], "unknown dataset 'lid'; did you mean 'lidc'"),
        (["list", "x*"], "unknown dataset 'x*'"),
        (["verify", "digits"], "dataset 'digits' has no files"),
        (["prepare", "dermamnist", "--from", "a"], "dataset 'dermamnist' is not made from an archive"),
        (["prepare", "lidc", "--from", "nowhere"], "cannot read 'nowhere': No such file"),
        (["prepare", "lidc", "--from", "."], "'.' is no file"),
        (["prepare", "lidc"], "Missing option '--from'"),
    ],
)
def test_request_that_cannot_be_met_is_one_line(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told in refusal(capsys, *arguments)


def test_folder_that_cannot_be_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    source = str(write_pickle(tmp_path / "a", made_up_patches(5)))
    line = refusal(capsys, "prepare", "lidc", "--from", source, "--data-dir", str(tmp_path / "file" / "below"))

    assert "cannot write" in line
    assert "--data-dir" in line


def test_archive_that_does_not_fit_into_memory_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_large(*arguments: object, **options: object) -> None:
        raise MemoryError

    monkeypatch.setattr("numpy.packbits", too_large)
    for source in (write_pickle(tmp_path / "a"), write_hdf5(tmp_path / "b")):
        line = refusal(capsys, "prepare", "lidc", "--from", str(source), "--data-dir", str(tmp_path))
        assert f"'{source}' needs more memory than there is" in line


def test_dataset_of_a_strangers_plugin_tells_of_its_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "strange.py").write_text(STRANGER)
    monkeypatch.syspath_prepend(tmp_path)
    options = ("--plugin", "strange", "--data-dir", str(tmp_path))

    assert [str(tmp_path / "strange.py")] == [row["file"] for row in rows(capsys, "list", "strange", *options)]
    assert ["odd"] == [row["finding"] for row in rows(capsys, "verify", "strange", *options, code=1)]

    assert "the plugin of dataset 'strange' failed: KeyError: 'a'" in refusal(
        capsys, "prepare", "strange", "--from", "a", *options
    )


STRANGER = """
from harness import DatasetSpec, hookimpl
from harness.specs import DatasetFiles, Finding

def expected(root):
    return [root / "strange.py"]

def verify(root):
    yield Finding(root / "strange.py", False, "odd")

def prepare(source, root):
    raise KeyError(source.name)

@hookimpl
def harness_register_datasets(register):
    register(DatasetSpec("strange", print, 2, 1, files=DatasetFiles(expected, verify, prepare)))
"""


def test_prepared_patches_can_be_trained_on_by_both_splits(prepared: str) -> None:
    options = ["--model", "mobilenetv2_050", "--scratch", "--epochs", "1", "--image-size", "32", "--batch-size", "4"]
    datasets = ["--dataset", "lidc", "--dataset", "lidc-series", "--data-dir", prepared]
    done = harness("run", *options, *datasets, "--device", "cpu", "--meter", "time")

    assert 0 == done.returncode, done.stderr
    with open_reader(Path("harness.sqlite")) as reader:
        trials = reader.trials(True)
    assert [("lidc", "done"), ("lidc-series", "done")] == [(trial["dataset"], trial["status"]) for trial in trials]


def test_run_tells_before_anything_runs_that_the_patches_are_not_there(tmp_path: Path) -> None:
    options = ["--model", "mobilenetv2_050", "--scratch", "--dataset", "lidc", "--data-dir", str(tmp_path)]
    done = harness("run", *options)

    assert 2 == done.returncode
    assert f"'{tmp_path}/lidc.npz' is not there" in done.stderr
