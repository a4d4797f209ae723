"""Protocols: the settings that a study takes over by name."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen


@frozen
class Protocol:
    """The settings of a protocol; `image_size` in pixels. What is given beside it goes before it.

    Intensities in [0, 1], no augmentation and cross-entropy (with one output or one per label: binary) are what the
    training does.
    """

    epochs: int
    batch_size: int
    lr: float
    image_size: int
    train_fraction: float = 1.0
    seed: int = 1
    optimizer: str = "adam"
    precision: str = "fp32"


# Selvan et al., PePR: Performance Per Resource Unit as a Metric to Promote Small-scale Deep Learning in Medical Image
# Analysis, NLDL 2025 (PMLR 265). Also the default values of a study, but for the image size, which is the dataset's.
PEPR = Protocol(epochs=10, batch_size=32, lr=5e-4, image_size=256)
PROTOCOLS: Mapping[str, Protocol] = {"pepr": PEPR}
