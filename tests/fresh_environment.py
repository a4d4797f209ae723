"""A virtual environment with this project's wheel, into which packages are installed as by a user, without network.

Its heavy dependencies are those of the environment that runs the tests, handed on by a path file.
"""

from __future__ import annotations

import os
import subprocess
import sysconfig
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen
from wheels import build_wheel

Done = subprocess.CompletedProcess[str]


@frozen
class FreshEnvironment:
    """The environment in the folder `path`."""

    path: Path

    @classmethod
    def create(cls, folder: Path) -> FreshEnvironment:
        """Make the environment in *folder* and install this project's wheel into it."""
        own = cls(folder / "venv")
        venv.create(own.path, symlinks=True)
        handed_on = own._site_packages / "handed_on.pth"
        handed_on.write_text(f"{sysconfig.get_path('purelib')}\n")
        # Or `pip` in a shell would be that of another environment.
        command = own.path / "bin" / "pip"
        command.write_text(f'#!/bin/sh\nexec {own.path}/bin/python -m pip "$@"\n')
        command.chmod(0o755)
        # What the tests' own environment has of this project is not to be taken away, but stood before.
        own.pip("install", "--ignore-installed", *_OFFLINE, str(build_wheel(folder)))
        return own

    @contextmanager
    def installed(self, *packages: Path) -> Iterator[None]:
        """Have the *packages*, folders with a pyproject.toml, installed for a while."""
        before = self._distributions()
        self.pip("install", *_OFFLINE, *map(str, packages))
        added = self._distributions() - before
        assert len(packages) == len(added), "one of them is installed already"
        try:
            yield
        finally:
            self.uninstall(*added)

    def uninstall(self, *names: str) -> None:
        """Uninstall the distributions *names* that are still there."""
        names = tuple(name for name in names if name in self._distributions())
        if names:
            self.pip("uninstall", "--yes", *names)

    def pip(self, *words: str) -> None:
        """Run pip, which must succeed."""
        done = self.python("-m", "pip", "--disable-pip-version-check", *words)
        assert 0 == done.returncode, done.stdout + done.stderr

    def harness(self, *words: str, **environment: str) -> Done:
        """Run the installed `harness`."""
        return self._run([str(self.path / "bin" / "harness"), *words], environment)

    def python(self, *words: str, **environment: str) -> Done:
        """Run Python."""
        return self._run([str(self.path / "bin" / "python"), *words], environment)

    def shell(self, script: str) -> Done:
        """Run *script* in a shell in which the environment is active; the first command that fails ends it."""
        search = {"PATH": f"{self.path / 'bin'}{os.pathsep}{os.environ['PATH']}"}
        return self._run(["sh", "-e", "-c", script], search | dict(_OFFLINE_VARIABLES))

    def _run(self, command: list[str], more: Mapping[str, str]) -> Done:
        # Nothing of the tests' own choice of plugins, nor the checkout, which would stand before what is installed.
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("HARNESS_", "PYTHON", "PYTEST", "COV_"))}
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=240, env={**inherited, **more}
        )

    def _distributions(self) -> set[str]:
        return {path.name.partition("-")[0].replace("_", "-") for path in self._site_packages.glob("*.dist-info")}

    @property
    def _site_packages(self) -> Path:
        return Path(sysconfig.get_path("purelib", vars={"base": str(self.path)}))


_OFFLINE = ("--no-index", "--no-deps", "--no-build-isolation", "--quiet")
# The same, for a `pip install` that is written as a user would.
_OFFLINE_VARIABLES = {
    "PIP_NO_INDEX": "1",
    "PIP_NO_DEPS": "1",
    "PIP_NO_BUILD_ISOLATION": "0",  # sic: pip reads it as the value of --build-isolation
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
}


def write_package(folder: Path, name: str, plugins: Mapping[str, str], version: str = "1.0") -> Path:
    """Write the distribution *name*, whose *plugins* are entry point -> code of its module; return its folder."""
    package = folder / name
    package.mkdir(parents=True)
    modules = {plugin: f"{name}_{plugin}".replace("-", "_") for plugin in plugins}
    for plugin, code in plugins.items():
        (package / f"{modules[plugin]}.py").write_text(code)
    entries = "\n".join(f'"{plugin}" = "{module}"' for plugin, module in modules.items())
    (package / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        f'[project]\nname = "{name}"\nversion = "{version}"\n'
        f"[project.entry-points.harness]\n{entries}\n"
        f"[tool.setuptools]\npy-modules = {sorted(modules.values())}\n"
    )
    return package
