"""Compiling a model from nothing, so that every trial pays for it and none has it from another."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from typing import Any

import torch
from torch import nn

# Where PyTorch's compiler and Triton keep what they compiled, for every process of the user. Precompiled C++ headers go
# to the folder for temporary files, whatever the first says.
_CACHES = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")


def compiled(model: nn.Module) -> Any:
    """Return *model* as `torch.compile` makes it, with empty caches that are gone when the process ends."""
    folder = tempfile.mkdtemp(prefix="harness-compiled-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name in _CACHES:
        os.environ[name] = os.path.join(folder, name.lower())  # noqa: PTH118 (an environment variable is text)
    os.environ["TMPDIR"] = tempfile.tempdir = folder
    return torch.compile(model)
