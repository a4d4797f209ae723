"""Write trials to STORE, COUNT of them or until that fails; print the key of each when the store has acknowledged it.

With a third argument, no file of this process may grow beyond so many bytes: a full disk in small.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from store_events import STUDY, run_trial

from harness.errors import HarnessError
from harness.store.store import Store


def write(path: Path, count: int) -> None:
    with Store.open(path) as store:
        study = store.begin_study(STUDY)
        for seed in range(1, count + 1):
            print(run_trial(store, study, seed), flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 3:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
    try:
        write(Path(sys.argv[1]), int(sys.argv[2]))
    except HarnessError as error:
        sys.exit(str(error))
