"""Run a function over many records in several processes."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from medcl.errors import MedclError, UsageError

T = TypeVar("T")
R = TypeVar("R")


def run_chunks(
    function: Callable[[Sequence[T]], R], items: Sequence[T], *, jobs: int = -1, chunk: int = 256, ordered: bool = False
) -> Iterator[R]:
    """Run a function over chunks of the items.

    Args:
        function: of a chunk; importable by name, since other processes run it.
        items: in any number.
        jobs: processes; -1 is one a core. One, or one chunk, runs in this process.
        chunk: items a call: enough to outweigh sending them (some ms), few enough to be worth saving one by one.
        ordered: yield in the order of the items, where what is written depends on it; else as they come.

    Yields:
        The function's results, one a chunk; only a few chunks are in flight, so memory does not grow with the items.

    Raises:
        UsageError: a number of jobs or a chunk that cannot be.
        MedclError: a process died, as a rule for want of memory.
    """
    if jobs == 0 or jobs < -1:
        raise UsageError(f"jobs {jobs}: a number of processes, or -1 for one a core")
    if chunk < 1:
        raise UsageError(f"chunk {chunk}: at least one item a call")
    chunks = [items[start : start + chunk] for start in range(0, len(items), chunk)]
    processes = min(joblib.cpu_count() if jobs == -1 else jobs, len(chunks))
    if processes <= 1:
        yield from map(function, chunks)
        return
    parallel = joblib.Parallel(
        n_jobs=processes, backend="loky", return_as="generator" if ordered else "generator_unordered", batch_size=1
    )
    try:
        yield from parallel(joblib.delayed(function)(one) for one in chunks)
    except TerminatedWorkerError as error:
        raise MedclError(f"a process of {processes} died, as a rule for want of memory: use fewer --jobs") from error
