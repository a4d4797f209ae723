"""What every model keeps, as a class of tests."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any, ClassVar

import pytest

from harness.specs import ModelSpec
from harness.testing.no_network import refused_network


class ModelContract:
    """What every model keeps. Set `spec`; override the others where the model takes other images than these.

    It is created with each of `outputs`, `channels` and `image_sizes` [pixels] at least once, the first of each, the
    second of each and so on. `published` says with which (num_outputs, in_chans, image_size) it has the parameters
    that its spec counts.
    """

    spec: ClassVar[ModelSpec]
    outputs: ClassVar[tuple[int, ...]] = (1, 3)
    channels: ClassVar[tuple[int, ...]] = (1, 3)
    image_sizes: ClassVar[tuple[int, ...]] = (32, 64)
    published: ClassVar[tuple[int, int, int]] = (1000, 3, 224)

    def test_gives_each_image_one_number_for_each_output(self) -> None:
        import torch

        for num_outputs, in_chans, image_size in self._asked():
            model = self._created(num_outputs, in_chans, image_size).eval()
            with torch.inference_mode():
                given = model(_images(2, in_chans, image_size))
            assert (2, num_outputs) == tuple(given.shape)
            assert given.is_floating_point()
            assert torch.isfinite(given).all()

    def test_is_a_torch_module_in_single_precision_on_the_cpu(self) -> None:
        """The harness moves it to the device, and chooses another precision by autocast."""
        import torch

        model = self._small()

        assert isinstance(model, torch.nn.Module)
        assert {(torch.float32, "cpu")} == {(one.dtype, one.device.type) for one in model.parameters()}

    def test_training_reaches_every_parameter_that_is_not_frozen(self) -> None:
        """A parameter is frozen by `requires_grad = False`, not by leaving it out of the graph."""
        import torch

        model = self._small().train().to(memory_format=torch.channels_last)
        images = _images(4, max(self.channels), self.image_sizes[0])
        model(images.contiguous(memory_format=torch.channels_last)).square().mean().backward()

        trained = {name: one.grad for name, one in model.named_parameters() if one.requires_grad}
        assert trained
        assert [] == [name for name, gradient in trained.items() if gradient is None]
        assert all(torch.isfinite(gradient).all() for gradient in trained.values())

    def test_from_scratch_the_seed_alone_says_how_it_begins(self) -> None:
        import torch

        first, again = self._weights(seed=1), self._weights(seed=1)

        assert first.keys() == again.keys()
        assert [] == [name for name, values in first.items() if not torch.equal(values, again[name])]

    def test_from_scratch_another_seed_begins_elsewhere(self) -> None:
        """With `weights=None` a model that still loads trained weights would begin at the same ones."""
        import torch

        first, other = self._weights(seed=1), self._weights(seed=2)

        assert any(not torch.equal(values, other[name]) for name, values in first.items())

    def test_from_scratch_needs_no_network(self) -> None:
        with refused_network() as tried:
            self._small()

        assert [] == tried

    def test_weights_that_are_not_there_are_refused(self, tmp_path: Path) -> None:
        """Training from scratch in their place would be stored as training from them."""
        with pytest.raises(Exception):  # noqa: B017, PT011  (what it raises is told to the user as it is)
            self._small(str(tmp_path / "none.safetensors"))

    def test_evaluation_of_an_image_does_not_depend_on_the_others(self) -> None:
        import torch

        model = self._small().eval()
        images = _images(4, max(self.channels), self.image_sizes[0])
        with torch.inference_mode():
            together, alone = model(images), torch.cat([model(image[None]) for image in images])

        assert torch.allclose(together, alone, rtol=1e-3, atol=1e-4)

    def test_leaves_the_settings_of_torch_alone(self) -> None:
        before = _torch_settings()
        self._small()

        assert before == _torch_settings()

    def test_counts_the_parameters_of_the_published_model(self) -> None:
        if self.spec.parameters is None:
            pytest.skip("the spec counts no parameters")

        assert self.spec.parameters == sum(one.numel() for one in self._created(*self.published).parameters())

    def _created(self, num_outputs: int, in_chans: int, image_size: int, weights: str | None = None) -> Any:
        return self.spec.create(num_outputs=num_outputs, in_chans=in_chans, image_size=image_size, weights=weights)

    def _small(self, weights: str | None = None) -> Any:
        return self._created(self.outputs[0], max(self.channels), self.image_sizes[0], weights)

    def _asked(self) -> Iterator[tuple[int, int, int]]:
        values = (self.outputs, self.channels, self.image_sizes)
        return islice(zip(*map(cycle, values), strict=True), max(map(len, values)))

    def _weights(self, seed: int) -> dict[str, Any]:
        import torch

        torch.manual_seed(seed)
        return dict(self._small().state_dict())


def _images(count: int, in_chans: int, image_size: int) -> Any:
    import torch

    return torch.rand(count, in_chans, image_size, image_size, generator=torch.Generator().manual_seed(0))


def _torch_settings() -> tuple[object, ...]:
    import torch

    return (
        torch.get_default_dtype(),
        torch.get_num_threads(),
        torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_float32_matmul_precision(),
        torch.backends.cudnn.benchmark,
    )
