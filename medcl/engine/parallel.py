"""Run a function over many records in several processes, which end with this one, or on a cluster."""

import faulthandler
import logging
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from itertools import chain, islice
from typing import Any, ParamSpec, TypeVar

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from medcl.errors import MedclError, UsageError

_PARENT_LOOK = 0.5  # seconds between two looks at the parent


def end_with_parent(parent: int | None = None) -> None:
    """End this process soon after its parent has ended; called once, by a process that another one has started.

    A thread looks now and then: the signal that Linux would send comes also when only the thread ends that started the
    process.

    Args:
        parent: its process id, where it is known; default: whose child this process is now.
    """
    threading.Thread(target=_watch, args=(parent or os.getppid(),), daemon=True, name="medcl-watch").start()


def watched_worker(number: int) -> None:
    """What a worker of a PyTorch `DataLoader` does first: it ends with its parent, and when its parent says so.

    A queue such as SLURM sends SIGTERM to every process of a job. The parent then finishes its step and saves it, and
    would fail if a worker had ended before: a worker obeys the SIGTERM of its parent alone.
    """
    if hasattr(signal, "sigwaitinfo"):  # not on macOS and Windows
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_obey, args=(os.getppid(),), daemon=True, name="medcl-obey").start()
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
        time.sleep(_PARENT_LOOK)
    # Not `sys.exit`: nobody waits for what this process would still do.
    os._exit(1)


def _obey(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)


T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")
_DRAWING = threading.RLock()


def one_at_a_time(function: Callable[P, R]) -> Callable[P, R]:
    """Have this process make the calls of such functions one after the other.

    Torch has one random generator a process, which threads would seed and draw from at the same time; a worker of a
    cluster has several of them as a rule.
    """

    @wraps(function)
    def alone(*args: P.args, **kwargs: P.kwargs) -> R:
        with _DRAWING:
            return function(*args, **kwargs)

    return alone


Chunks = Iterator[tuple[int, Sequence[T]]]


def run_chunks(
    function: Callable[[Sequence[T]], R],
    items: Iterable[T],
    *,
    jobs: int = -1,
    chunk: int = 256,
    ordered: bool = False,
    instead: Callable[[T], R] | None = None,
    apart: bool = False,
    cluster: str | None = None,
) -> Iterator[R]:
    """Run a function over chunks of the items.

    Args:
        function: of a chunk; importable by name, since other processes run it.
        items: in any number; they are drawn one at a time, by any thread that has a free place in its queue.
        jobs: processes; -1 is one a core. One, or one chunk, runs in this process.
        chunk: items a call: enough to outweigh sending them (some ms), few enough to be worth saving one by one.
        ordered: yield in the order of the items, where what is written depends on it; else as they come.
        instead: what stands for an item that a process died of, as a parser does of some damaged files. The items
            around it are worked on again, one by one: the results then come one an item.
        apart: never in this process, not even one chunk, since the function may end the process that it runs in.
        cluster: address of a Dask scheduler, such as `tcp://10.0.0.1:8786`, whose workers are used in the place of
            processes here; they read the same files under the same paths.

    Yields:
        The function's results, one a chunk; only a few chunks are in flight, so memory does not grow with the items.

    Raises:
        UsageError: a number of jobs or a chunk that cannot be, or a cluster without the package for it.
        MedclError: a process died, as a rule for want of memory, and there is no `instead`; or no cluster answers.
    """
    if jobs == 0 or jobs < -1:
        raise UsageError(f"jobs {jobs}: a number of processes, or -1 for one a core")
    if chunk < 1:
        raise UsageError(f"chunk {chunk}: at least one item a call")
    source = iter(items)
    chunks: Chunks[T] = enumerate(iter(lambda: list(islice(source, chunk)), []))
    if cluster is not None:
        from medcl.engine.cluster import run_on_cluster

        yield from run_on_cluster(function, chunks, cluster, ordered=ordered, instead=instead)
        return
    first = list(islice(chunks, joblib.cpu_count() if jobs == -1 else jobs))
    processes, chunks = len(first), chain(first, chunks)
    if processes <= 1 and not (apart and first):
        yield from (function(part) for _, part in chunks)
        return
    while True:
        flying: dict[int, Sequence[T]] = {}
        try:
            yield from _run(function, chunks, flying, processes, ordered)
            return
        except TerminatedWorkerError as error:
            if instead is None:
                raise MedclError(
                    f"a process of {processes} died, as a rule for want of memory: use fewer --jobs"
                ) from error
            # Those in flight are among the first that have no result, as a rule: then the one to blame is among them.
            # Else it is met again, behind fewer chunks.
            for number in list(flying)[: 2 * max(1, processes)]:
                for item in flying.pop(number):
                    yield _alone(function, item, instead)
            chunks = chain(flying.items(), chunks)


def _run(
    function: Callable[[Sequence[T]], R],
    chunks: Chunks[T],
    flying: dict[int, Sequence[T]],
    processes: int,
    ordered: bool,
) -> Iterator[R]:
    """Work on chunks; those that are not done yet are in the dictionary."""
    # Processes live longer than one call, and the folder of this one may have changed in between.
    folder = os.getcwd()

    def calls() -> Iterator[object]:
        for number, part in chunks:
            flying[number] = part
            yield joblib.delayed(_numbered)(function, number, part, folder)

    kind = "generator" if ordered else "generator_unordered"
    # Not more in flight than are worked on one by one, should a process die. One job would stay in this process.
    ahead = 2 * processes if processes > 1 else 1
    parallel = workers(max(2, processes), return_as=kind, batch_size=1, pre_dispatch=ahead)
    results = parallel(calls())
    try:
        for number, result in results:
            del flying[number]
            yield result
    finally:
        with warnings.catch_warnings():
            # Who stops early has a reason to, and says it: that chunks were under way is no news.
            warnings.simplefilter("ignore", UserWarning)
            results.close()


def _numbered(function: Callable[[Sequence[T]], R], number: int, chunk: Sequence[T], folder: str) -> tuple[int, R]:
    os.chdir(folder)
    # What ends this process is told as the reason of a record, not as a page of frames on the terminal.
    faulthandler.disable()
    return number, function(chunk)


def _alone(function: Callable[[Sequence[T]], R], item: T, instead: Callable[[T], R]) -> R:
    """One item in a process of its own."""
    try:
        # Two jobs, since one would stay in this process.
        results: list[tuple[int, R]] = workers(2)([joblib.delayed(_numbered)(function, 0, [item], os.getcwd())])
    except TerminatedWorkerError:
        return instead(item)
    return results[0][1]


@contextmanager
def quiet() -> Iterator[None]:
    """Pass over warnings and logs: they quote headers and paths, which may name a patient."""
    before = logging.root.manager.disable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(before)
