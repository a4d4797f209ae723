"""Published weights: downloaded from a hub on 127.0.0.1, taken from its cache, or told before the first trial."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_server import COMMIT, Hub, serving

from harness.store.reading import open_reader

MODEL, REPOSITORY = "timm:test_resnet.r160_in1k", "timm/test_resnet.r160_in1k"
FILE = f"{REPOSITORY}/model.safetensors"
LACKING = ("test_convnext", "test_nfnet")


@pytest.fixture(scope="module")
def published() -> bytes:
    """The file that the hub has: the ImageNet model as timm writes it."""
    import timm
    import torch
    from safetensors.torch import save

    torch.manual_seed(7)
    return save(timm.create_model("test_resnet", pretrained=False).state_dict())


@pytest.fixture
def hub(published: bytes) -> Iterator[Hub]:
    with serving(files={FILE: published}) as hub:
        yield hub


def run(hub: Hub, *more: str, model: str = MODEL, **environment: str) -> subprocess.CompletedProcess[str]:
    """Fine-tune on digits, with the cache in a folder of the test's own and bounded waits."""
    words = ["--model", model, "--dataset", "digits", "--epochs", "1", "--train-fraction", "0.02", "--device", "cpu"]
    own = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(Path.cwd() / "hf"), "HF_HUB_OFFLINE": "0"}
    waits = {"HF_HUB_ETAG_TIMEOUT": "1", "HF_HUB_DOWNLOAD_TIMEOUT": "1", "NO_PROXY": "127.0.0.1"}
    return subprocess.run(
        [sys.executable, "-m", "harness", "run", *words, "--meter", "time", *more],
        env={**os.environ, **own, **waits, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def trial() -> dict[str, Any]:
    with open_reader(Path("harness.sqlite")) as reader:
        return reader.trials()[-1]


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """What was said last, of a run that ended before it began."""
    assert 2 == done.returncode, done.stderr
    assert "Traceback" not in done.stderr
    assert not Path("harness.sqlite").exists()
    return "harness: " + done.stderr.partition("harness: ")[2].strip()


def test_published_weights_are_downloaded_once_and_used_offline_as_the_same_trial(hub: Hub, published: bytes) -> None:
    online = run(hub)
    assert 0 == online.returncode, online.stderr
    first = trial()
    asked = len(hub.seen)
    offline = run(hub, "--force", HF_HUB_OFFLINE="1", HF_ENDPOINT="http://127.0.0.1:1")
    assert 0 == offline.returncode, offline.stderr
    second = trial()

    assert (hashlib.sha256(published).hexdigest(), COMMIT) == tuple(
        first["facts"][name] for name in ("weights_digest", "weights_revision")
    )
    assert "r160_in1k" == first["weights_tag"]
    download = online.stderr.index(f"downloading the weights of {MODEL}: {REPOSITORY} (")
    assert download < online.stderr.index("[1/1]")
    assert 1 == [command for command, _ in hub.seen].count("GET")
    assert (first["trial"], first["performance"], first["facts"]["weights_digest"]) == (
        second["trial"],
        second["performance"],
        second["facts"]["weights_digest"],
    )
    assert asked == len(hub.seen)


def test_weights_that_the_hub_lacks_are_told_with_all_others_before_the_first_trial(hub: Hub) -> None:
    done = run(hub, "--model", "timm:test_convnext", "--model", "timm:test_nfnet", "--image-size", "64")

    first, *models, ways_out = complaint(done).splitlines()
    assert first.startswith("harness: the weights of 2 models are not in the cache, and cannot be had")
    assert [True, True] == [
        f"the hub has no timm/{name}.r160_in1k" in line for name, line in zip(LACKING, models, strict=True)
    ]
    assert "hf download timm/test_convnext.r160_in1k model.safetensors" in ways_out
    assert "GET" not in [command for command, _ in hub.seen]


def test_download_that_is_not_what_was_promised_is_thrown_away(hub: Hub) -> None:
    hub.corrupt = True
    told = complaint(run(hub))

    assert "is not what the hub promised" in told
    assert 1 == len(told.splitlines())
    assert [] == list(Path("hf").rglob("*.safetensors"))


def test_dry_run_says_how_much_it_would_download_and_only_asks_for_it(hub: Hub, published: bytes) -> None:
    done = run(hub, "--dry-run", AI_AGENT="someone")

    assert 0 == done.returncode, done.stderr
    assert f"would download the weights of 1 model ({len(published) / 1e6:.3g} MB)" in done.stderr
    assert [("HEAD", f"/{REPOSITORY}/resolve/main/model.safetensors")] == hub.seen
    assert not any("torch" in agent or "someone" in agent for agent in hub.agents)
