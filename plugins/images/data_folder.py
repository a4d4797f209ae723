"""Where the files of datasets are: the folder that the user names, else the one that the system has for users' data."""

from __future__ import annotations

import os
from pathlib import Path


def own_path(name: str, prefix: str) -> Path:
    """Return the path that *name* gives after its *prefix*; `~/f`, `f/` and `./f` are written in one way."""
    return Path(os.path.normpath(Path(name.removeprefix(prefix)).expanduser()))


def data_folder(root: Path | None) -> Path:
    """Return *root* (of --data-dir), else the default place; neither is made."""
    if root is not None:
        return root.expanduser()

    from platformdirs import user_data_path

    return user_data_path("pepr-harness", appauthor=False)
