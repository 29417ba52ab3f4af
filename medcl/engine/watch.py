"""Processes that end with the one that started them, also when that is killed and can tell nobody."""

import os
import threading
import time
from typing import Any

import joblib

_LOOK = 0.5  # seconds between two looks at the parent


def end_with_parent(parent: int | None = None) -> None:
    """End this process soon after its parent has ended; called once, by a process that another one has started.

    A thread looks now and then: the signal that Linux would send comes also when only the thread ends that started the
    process.

    Args:
        parent: its process id, where it is known; default: whose child this process is now.
    """
    threading.Thread(target=_watch, args=(parent or os.getppid(),), daemon=True, name="medcl-watch").start()


def watched_worker(number: int) -> None:
    """What a worker of a PyTorch `DataLoader` does first."""
    end_with_parent()


def workers(count: int, **options: Any) -> joblib.Parallel:
    """Processes that end with this one.

    Args:
        count: of processes; one works in this process.
        **options: of `joblib.Parallel`.
    """
    return joblib.Parallel(
        n_jobs=count, backend="loky", initializer=end_with_parent, initargs=(os.getpid(),), **options
    )


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK)
    # Not `sys.exit`: nobody waits for what this process would still do.
    os._exit(1)
