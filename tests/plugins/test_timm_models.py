"""The table of the paper's 131 models: what it says is what timm builds today."""

from __future__ import annotations

import subprocess
import sys

import pepr131
import pytest
import torch

from harness.errors import HarnessError
from harness.plugins.timm_models import TimmModel
from harness.plugins_loader import load_plugins

SPECS = pepr131.MODELS


@pytest.mark.parametrize(
    ("tag", "expected"),
    [("pepr131", 131), ("small", 65), ("large", 66), ("cnn", 80), ("other", 51), ("efficient", 31)],
)
def test_as_many_models_bear_a_tag_as_the_paper_counts(tag: str, expected: int) -> None:
    assert expected == len(load_plugins().registry.match_models(f"tag:{tag}"))


def test_all_131_have_exactly_the_papers_parameters_and_take_its_256_pixels() -> None:
    assert [] == [name for name, spec in SPECS.items() if not spec.image_sizes.with_weights("pretrained").take(256)]
    assert {name: spec.parameters for name, spec in SPECS.items()} == {
        name: pepr131.parameters(name, 256) for name in SPECS
    }


def test_small_are_those_below_the_median() -> None:
    parameters = sorted(spec.parameters for spec in SPECS.values())

    assert {name for name, spec in SPECS.items() if spec.parameters < parameters[65]} == {
        name for name in SPECS if "small" in pepr131.tags_of(name)
    }


def test_the_smallest_size_of_the_table_works() -> None:
    smallest = {name: spec.image_sizes.nearest(1) for name, spec in SPECS.items()}
    # From this size on, test_timm_training.py trains on the smallest.
    smallest = {name: size for name, size in smallest.items() if size < pepr131.LEAST}
    assert 80 < len(smallest)

    assert [] == [f"{name} {size}" for name, size in smallest.items() if not pepr131.passes(name, size)]


def sizes_left_out(name: str) -> int | None:
    """Return a size that the table says is not taken: below the smallest, or between two steps; None for any size."""
    sizes = SPECS[name].image_sizes
    return sizes.step * 5 // 2 if sizes.step > 1 else sizes.smallest - 1 or None


def test_sizes_that_the_table_leaves_out_do_not_work() -> None:
    left_out = {name: size for name in SPECS if (size := sizes_left_out(name)) is not None}

    assert [] == [f"{name} {size}" for name, size in left_out.items() if pepr131.passes(name, size)]


def test_families_are_the_modules_that_define_the_models_in_timm() -> None:
    from timm.models import model_entrypoint

    listed = {name: spec.create.name for name, spec in SPECS.items() if isinstance(spec.create, TimmModel)}
    assert {name: pepr131.family(name) for name in listed} == {
        name: model_entrypoint(today.partition(".")[0]).__module__.rpartition(".")[2] for name, today in listed.items()
    }


def test_every_model_pins_weights_that_timm_publishes_for_imagenet_1k() -> None:
    from timm.models import get_pretrained_cfg

    pinned = {spec.create.name for spec in SPECS.values() if isinstance(spec.create, TimmModel)}
    assert 130 == len(pinned)
    assert [] == [
        name
        for name in pinned
        if not name.endswith("in1k") or (config := get_pretrained_cfg(name)) is None or not config.has_weights
    ]


@pytest.mark.parametrize(
    ("name", "pinned"),
    [
        ("seresnextaa101d_32x8d", "seresnextaa101d_32x8d.ah_in1k"),
        ("hrnet_w18", "hrnet_w18.ms_in1k"),
        ("adv_inception_v3", "inception_v3.tf_adv_in1k"),
    ],
)
def test_weights_of_the_papers_time_are_pinned(name: str, pinned: str) -> None:
    assert pinned == SPECS[name].create.name


@pytest.mark.parametrize("name", ["dpn92", "dpn107"])
def test_weights_of_another_imagenet_are_noted(name: str) -> None:
    assert "ImageNet-5k" in (SPECS[name].note or "")


def test_a_name_of_timm_is_told_its_size_only_if_it_can_be() -> None:
    with torch.device("meta"):
        TimmModel("vit_tiny_patch16_224")(2, 3, 64, None)(torch.zeros(1, 3, 64, 64))
        TimmModel("halonet26t")(2, 3, 256, None)
        assert TimmModel("mixer_s32_224")(2, 3, 64, None)(torch.zeros(1, 3, 64, 64)).shape == (1, 2)
        with pytest.raises(HarnessError, match="unknown timm model 'resnet17d'"):
            TimmModel("resnet17d")(2, 3, 64, None)


def test_models_are_listed_without_torch_and_numpy() -> None:
    program = (
        "import sys; from harness.__main__ import main; main(['list', 'models', '--format', 'csv']);"
        "sys.exit(sorted({'torch', 'timm', 'numpy', 'pandas'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

    assert (0, "") == (done.returncode, done.stderr)
    assert set(SPECS) <= {line.partition(",")[0] for line in done.stdout.splitlines()}


def test_weights_tag_that_timm_does_not_have_is_told_with_those_it_has() -> None:
    with pytest.raises(HarnessError, match=r"unknown weights tag of 'resnet18d' 'nope'.*ra2_in1k"):
        TimmModel("resnet18d.nope")(10, 3, 32, None)
