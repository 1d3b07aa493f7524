"""Workers end with the process that they work for, however it ends."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

#: How often a worker looks whether its parent lives.
_INTERVAL_S = 1.0


def watch_parent(owner: int) -> None:
    """End this process once its parent has died (a kill leaves it no time to say so).

    A loky worker in the middle of a task would go on for as long as that takes, an idle one for
    five minutes. It is the workers' initializer: called once in each, with the process that starts
    them, which may have died before a worker comes to this.
    """
    if os.name == "posix" and os.getppid() != owner:
        os._exit(1)
    thread = threading.Thread(target=_watch, args=(os.getppid(),), name="facet_nb-orphan")
    thread.daemon = True
    thread.start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_INTERVAL_S)
    os._exit(1)


def remove_semaphores(pid: int) -> None:
    """Remove the semaphores that loky made for process `pid`, one of ours, which was killed.

    A forced restart of a kernel ends the process that would have removed them, too.
    """
    for path in Path("/dev/shm").glob(f"sem.loky-{pid}-*"):
        with suppress(OSError):  # somebody else's, or gone already
            path.unlink()
