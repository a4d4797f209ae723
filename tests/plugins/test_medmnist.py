"""The MedMNIST sets: the table is the package's, and only the published file of one stored size is ever used."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import runpy
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from npz_files import SPLITS, flip_byte_in, made_up_arrays, made_up_labels, write_npz

from harness.errors import HarnessError
from harness.plugins.images.medmnist import published_sets, set_of
from harness.plugins.images.medmnist_set import MedMnistSet
from harness.plugins_loader import PluginChoice, load_plugins

ALL = PluginChoice(autoload=False)
COUNTS = (SPLITS["train"], SPLITS["val"], SPLITS["test"])


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The metadata of the medmnist package, which makes a folder in the user's home."""
    found = importlib.util.find_spec("medmnist")
    assert found is not None
    assert found.submodule_search_locations is not None
    monkeypatch.setenv("HOME", str(Path.cwd()))
    about = runpy.run_path(str(Path(found.submodule_search_locations[0], "info.py")))["INFO"]
    return {name: each for name, each in about.items() if not name.endswith("3d")}


def made_up(**about: Any) -> MedMnistSet:
    """A set whose files are those that are here now, as `dermamnist.npz` and so on."""
    sums = {28: "0" * 32, 64: "0" * 32}
    for size in sums:
        path = Path("dermamnist.npz" if size == 28 else f"dermamnist_{size}.npz")
        if path.exists():
            sums[size] = hashlib.md5(path.read_bytes()).hexdigest()
    return MedMnistSet(**{"name": "dermamnist", "channels": 3, "classes": 7, "counts": COUNTS, "md5": sums} | about)


def publish(size: int = 28, name: str = "dermamnist.npz", channels: int = 3, classes: int = 7) -> Path:
    return write_npz(Path(name), made_up_arrays(size, channels, classes))


def test_table_is_the_packages_metadata(package: dict[str, Any]) -> None:
    rows = {row["name"]: row for row in published_sets()}

    assert list(package) == list(rows)
    for name, about in package.items():
        row = rows[name]
        assert (about["task"], about["license"]) == (row["task"], row["license"])
        assert [about["n_channels"], len(about["label"])] == [int(row["channels"]), int(row["classes"])]
        assert about["n_samples"] == {split: int(row[split]) for split in ("train", "val", "test")}


def test_urls_and_checksums_are_the_packages(package: dict[str, Any]) -> None:
    for row in published_sets():
        published, about = set_of(row), package[row["name"]]
        for size, ending in ((28, ""), (64, "_64"), (128, "_128"), (224, "_224")):
            assert (about[f"url{ending}"], about[f"MD5{ending}"]) == (published.url(size), published.md5[size])


def test_papers_sets_are_listed_as_the_paper_has_them() -> None:
    datasets = load_plugins(ALL).registry.dataset
    derma, pneumonia = datasets("dermamnist"), datasets("pneumoniamnist")

    assert ((7007, 1003, 2005), 3, 7, "multiclass") == (derma.splits, derma.in_chans, derma.num_outputs, derma.task)
    assert ((4708, 524, 624), 1, 1, "binary") == (
        (pneumonia.splits, pneumonia.in_chans, pneumonia.num_outputs, pneumonia.task)
    )


def test_set_with_several_labels_to_an_image_has_an_output_for_each() -> None:
    chest = load_plugins(ALL).registry.dataset("chestmnist")

    assert ((78468, 11219, 22433), 1, 14, "multilabel") == (chest.splits, chest.in_chans, chest.num_outputs, chest.task)
    assert chest.note is not None
    assert chest.note.endswith("; several labels each")


def test_several_labels_to_an_image_are_loaded_as_published() -> None:
    labels = made_up_labels()
    write_npz(Path("dermamnist.npz"), made_up_arrays(), **labels)
    published = made_up(channels=1, classes=14, multilabel=True)
    loaded = published.load(28, Path(), download=False).test.labels

    assert "int64" == str(loaded.dtype)
    np.testing.assert_array_equal(labels["test_labels"], loaded)
    assert [True] == [finding.right for finding in published.verify(Path())]


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (np.full((6, 14), 2, "u1"), "'val_labels' from 0 to 1, found values from 2 to 2"),
        (np.full((6, 14), -1, "i8"), "'val_labels' from 0 to 1, found values from -1 to -1"),
        (np.zeros((6, 13), "u1"), "'val_labels' to be uint8 or int64 [N, 14], found uint8 [6, 13]"),
        (np.zeros((6, 1), "u1"), "'val_labels' to be uint8 or int64 [N, 14], found uint8 [6, 1]"),
        (np.zeros((6, 14), "f4"), "'val_labels' to be uint8 or int64 [N, 14], found float32 [6, 14]"),
    ],
)
def test_label_that_is_neither_there_nor_not_is_refused(labels: np.ndarray, told: str) -> None:
    write_npz(Path("dermamnist.npz"), made_up_arrays(), **{**made_up_labels(), "val_labels": labels})

    with pytest.raises(HarnessError) as refused:
        made_up(channels=1, classes=14, multilabel=True).load(28, Path(), download=False)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_listing_them_starts_nothing_heavy_and_makes_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(Path.cwd()))
    script = (
        "import sys; from harness.__main__ import main; assert main(['list', 'datasets']) == 0;"
        "assert not {'medmnist', 'torch', 'numpy', 'pandas', 'PIL'} & sys.modules.keys()"
    )

    listed = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert "dermamnist" in listed.stdout
    assert [] == list(Path().iterdir())


def test_setting_tells_the_stored_size() -> None:
    derma = load_plugins(ALL).registry.dataset("dermamnist")

    expected = {28: "none", 32: "bicubic from 64 px", 224: "none", 256: "bicubic from 224 px"}
    assert expected == {size: derma.resizing(size) for size in expected}


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 28), (1, 32), (3, 20)])
def test_published_file_is_loaded(channels: int, size: int) -> None:
    publish(channels=channels)
    publish(64, "dermamnist_64.npz", channels=channels)
    splits = made_up(channels=channels).load(size, Path(), download=False)

    each = splits.train, splits.validation, splits.test
    assert [(count, channels, size, size) for count in COUNTS] == [split.images.shape for split in each]
    assert {("uint8", "int64")} == {(str(split.images.dtype), str(split.labels.dtype)) for split in each}
    assert [number % 7 for number in range(12)] == splits.train.labels.tolist()


def test_images_of_the_stored_size_are_as_stored() -> None:
    arrays = made_up_arrays(28, 3, 7)
    publish()
    splits = made_up().load(28, Path(), download=False)

    np.testing.assert_array_equal(arrays["test_images"], splits.test.images.transpose(0, 2, 3, 1))


def test_stored_size_does_not_depend_on_the_files_that_are_there() -> None:
    publish()  # of 28 pixels, and none of 64

    with pytest.raises(HarnessError, match=r"needs 'dermamnist_64.npz' in '\.'; allow --download") as refused:
        made_up().check(32, Path(), download=False)
    assert "https://zenodo.org/records/10519652/files/dermamnist_64.npz" in str(refused.value)
    assert "(MD5 000" in str(refused.value)


def test_other_size_under_the_name_is_refused() -> None:
    publish(64)

    with pytest.raises(HarnessError, match=r"to be uint8 \[12, 28, 28, 3\], found uint8 \[12, 64, 64, 3\]; delete it"):
        made_up().check(28, Path(), download=False)


def test_other_file_of_the_same_shape_is_refused_by_its_checksum() -> None:
    publish()

    with pytest.raises(HarnessError, match="expected the published file, MD5 000.*, found MD5 .*; delete it and give"):
        made_up(md5={28: "0" * 32}).check(28, Path(), download=False)


@pytest.mark.parametrize("damage", ["flip", "cut", "page"])
@pytest.mark.parametrize("how", ["check", "load"])
def test_damaged_file_is_one_line(damage: str, how: str) -> None:
    path = publish()
    published = made_up()
    damages: dict[str, Any] = {
        "flip": lambda: flip_byte_in(path, "val_images.npy"),
        "cut": lambda: path.write_bytes(path.read_bytes()[:-99]),
        "page": lambda: path.write_text("<html>Too many requests"),
    }
    damages[damage]()

    with pytest.raises(HarnessError, match=r"'dermamnist.npz': expected .*; delete it and give --download, or get it"):
        getattr(published, how)(28, Path(), download=False)


def test_label_that_is_no_class_is_refused_whatever_the_checksum() -> None:
    publish(classes=9)

    with pytest.raises(HarnessError, match="'train_labels' from 0 to 6, found values from 0 to 8"):
        made_up().load(28, Path(), download=False)


def test_verify_tells_of_each_file_that_is_there() -> None:
    publish()
    publish(28, "dermamnist_64.npz")
    findings = list(made_up().verify(Path()))

    assert [("dermamnist.npz", True), ("dermamnist_64.npz", False)] == [(str(f.file), f.right) for f in findings]


def test_verify_without_any_file_says_where_they_belong() -> None:
    with pytest.raises(HarnessError, match="needs 'dermamnist_64.npz'"):
        list(made_up().verify(Path()))


def test_without_a_folder_the_systems_and_the_packages_own_are_looked_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(Path.cwd()))
    monkeypatch.setenv("XDG_DATA_HOME", str(Path("share").absolute()))
    with pytest.raises(HarnessError, match=r"in '.*/share/pepr-harness' or '.*/.medmnist'"):
        made_up().check(28, None, download=False)

    path = publish()
    published = made_up()
    Path(".medmnist").mkdir()
    path.rename(".medmnist/dermamnist.npz")
    published.check(28, None, download=False)


@pytest.fixture
def server() -> Iterator[str]:
    """Serves the folder `mirror` on this machine and keeps count of what is asked for."""
    Path("mirror").mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *about: Any) -> None:
            with Path("asked").open("a") as log:
                print(self.path, file=log)

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory="mirror"))
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def test_download_fetches_what_is_missing_once(server: str) -> None:
    published = made_up_at(server)

    published.check(28, Path("data"), download=True)
    published.load(28, Path("data"), download=True)
    assert ["dermamnist.npz"] == [path.name for path in Path("data").iterdir()]
    assert 1 == Path("asked").read_text().count("/dermamnist.npz")


def test_nothing_is_asked_for_without_download(server: str) -> None:
    published = made_up_at(server)

    with pytest.raises(HarnessError, match="allow --download"):
        published.load(28, Path("data"), download=False)
    assert not Path("asked").exists()


def test_other_file_than_published_leaves_nothing_behind(server: str) -> None:
    published = made_up_at(server)
    Path("mirror/dermamnist.npz").write_text("<html>Sign in to the network")

    with pytest.raises(HarnessError, match="gave another file than expected"):
        published.check(28, Path("data"), download=True)
    assert [] == list(Path("data").iterdir())


def test_damaged_file_of_the_users_is_not_replaced(server: str) -> None:
    published = made_up_at(server)
    Path("data").mkdir()
    Path("data/dermamnist.npz").write_text("mine")

    with pytest.raises(HarnessError, match="found something else; delete it and give --download"):
        published.check(28, Path("data"), download=True)
    assert "mine" == Path("data/dermamnist.npz").read_text()


def made_up_at(server: str) -> MedMnistSet:
    """A set of which *server* has the file of 28 pixels."""
    path = publish()
    published = made_up(published_at=server)
    path.rename("mirror/dermamnist.npz")
    return published
