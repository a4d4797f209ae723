"""What every plugin keeps, whatever it brings, as a class of tests."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from typing import Any, ClassVar

import pytest

HEAVY = ("torch", "timm", "numpy", "pandas", "scipy", "sklearn", "ray")
# In an interpreter of its own: here, all of these may have been imported by another test.
_PROGRAM = """
import json, sys, threading
plugin, heavy = sys.argv[1], sys.argv[2].split(",")
from harness.errors import HarnessError
from harness.plugins_loader import PluginChoice, load_plugins
try:
    plugins = load_plugins(PluginChoice(wanted=(plugin,), autoload=False))
except HarnessError as error:
    answer = {"refused": str(error)}
else:
    answer = {"faults": plugins.faults, "brings": plugins.registered_by(plugin), "hooks": plugins.hooks_of(plugin)}
answer["heavy"] = [name for name in heavy if name in sys.modules]
answer["threads"] = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
sys.stderr.write("\\n" + json.dumps(answer))
"""


class PluginContract:
    """What every plugin keeps. Set `plugin`, a module or an installed plugin, and `brings`, what it registers.

    `brings` is as `harness list plugins` says it: ("meter switches", "model tiny"). It is loaded in a fresh
    interpreter, as for `harness list`.
    """

    plugin: ClassVar[str]
    brings: ClassVar[tuple[str, ...]]

    def test_loads_without_a_fault(self) -> None:
        answer = self._answer()

        assert answer.get("refused") is None
        assert [] == answer["faults"]

    def test_registers_what_it_says(self) -> None:
        assert sorted(self.brings) == sorted(self._answer().get("brings", ()))

    def test_has_a_hook(self) -> None:
        """A function without `@hookimpl` is no hook."""
        assert self._answer().get("hooks")

    def test_imports_nothing_heavy_to_be_listed(self) -> None:
        """torch, timm, NumPy and their like are imported inside the functions that need them."""
        assert [] == self._answer()["heavy"]

    def test_starts_no_thread_when_it_is_loaded(self) -> None:
        """Or workers could not be forked: what a thread holds, hangs in the child."""
        assert [] == self._answer()["threads"]

    def test_prints_nothing_when_it_is_loaded(self) -> None:
        """Standard output is the user's table."""
        assert "" == self._answer()["printed"]

    def _answer(self) -> dict[str, Any]:
        return _answer_of(self.plugin)


@functools.cache
def _answer_of(plugin: str) -> dict[str, Any]:
    done = subprocess.run(  # noqa: S603  (no shell; the name is the author's own)
        [sys.executable, "-c", _PROGRAM, plugin, ",".join(HEAVY)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sys.path))},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    last = (done.stderr.splitlines() or [""])[-1]
    if done.returncode != 0 or not last.startswith("{"):
        pytest.fail(f"the plugin {plugin!r} ends Python when it is loaded:\n{done.stderr}")
    return {**json.loads(last), "printed": done.stdout}
