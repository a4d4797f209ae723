"""Whether what is asked for to make training faster works here: a precision, compilation."""

from __future__ import annotations

import importlib.util
import os
import shutil

from harness.errors import HarnessError
from harness.records import Setting


def check_acceleration(setting: Setting) -> None:
    """Raise HarnessError where the precision or the compilation of *setting* does not work on its kind of device."""
    if setting.precision == "fp16" and setting.device == "cpu":
        # Its products are computed without vector instructions there: several times slower than fp32.
        raise HarnessError("--precision fp16 is for CUDA; on the CPU use --precision bf16 or fp32")
    if setting.compile:
        _check_compiler(setting.device)


def _check_compiler(device: str) -> None:
    if device == "cuda" and importlib.util.find_spec("triton") is None:
        raise HarnessError("--compile on CUDA needs triton, which is missing; pip install triton, or --no-compile")
    # What torch.compile calls where CXX names no other; on CUDA, triton needs a compiler too.
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        raise HarnessError(
            f"--compile needs a C++ compiler, and {compiler!r} is not there; install it, name one in CXX, "
            "or use --no-compile"
        )
