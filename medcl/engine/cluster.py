"""Run a function over chunks of items on the workers of a Dask cluster."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, TypeVar

from medcl.errors import MedclError, UsageError, not_installed

T = TypeVar("T")
R = TypeVar("R")
_CONNECT = 30  # seconds to reach the scheduler, and for a first worker to come
_LOOK = 5.0  # seconds between two looks whether any worker is left
_ALONE = 120  # seconds without any worker, after which the run is given up
_AHEAD = 2  # chunks in flight a thread of a worker: one that is worked on, one that waits


def run_on_cluster(
    function: Callable[[Sequence[T]], R],
    chunks: Iterator[tuple[int, Sequence[T]]],
    address: str,
    *,
    ordered: bool,
    instead: Callable[[T], R] | None,
) -> Iterator[R]:
    """Run a function over chunks on a cluster.

    What a worker was at when it died is done again by another one; its results so far are safe here. An item that
    several workers died of, one after the other, is the item's own fault, and is replaced.

    Args:
        function: of a chunk; importable by name where the workers run, with the same medcl.
        chunks: number, from 0, and items; files that items name must be readable under the same path there.
        address: of the scheduler, such as `tcp://10.0.0.1:8786`.
        ordered: yield in the order of the chunks, else as they come.
        instead: what stands for an item that workers died of.

    Yields:
        The results, one a chunk, or an item where a chunk had to be taken apart.

    Raises:
        UsageError: the extra `cluster` is not installed, or the address is invalid.
        MedclError: the cluster cannot be reached or is lost, or workers died and there is no `instead`.
    """
    try:
        import distributed
    except ImportError as error:
        raise UsageError(f"{not_installed('distributed', '--cluster')}, here and where the workers run") from error
    with _client(distributed, address) as client:
        yield from _Run(distributed, client, function, instead).results(chunks, ordered)


def _client(distributed: Any, address: str) -> Any:
    try:
        client = distributed.Client(address, timeout=_CONNECT, set_as_default=False)
    except (ValueError, TypeError) as error:
        raise UsageError(f"--cluster {address}: no address of a scheduler, such as tcp://10.0.0.1:8786") from error
    except OSError as error:
        raise MedclError(
            f"--cluster {address}: no scheduler answers there within {_CONNECT} s: is `dask scheduler` running, and "
            "does a firewall let this machine through?"
        ) from error
    try:
        client.wait_for_workers(1, timeout=_CONNECT)
    except TimeoutError as error:
        client.close()
        raise MedclError(f"--cluster {address}: the scheduler has no worker: start some with `dask worker`") from error
    return client


class _Run:
    """One run: what is in flight, and what became of it."""

    def __init__(
        self, distributed: Any, client: Any, function: Callable[..., Any], instead: Callable[..., Any] | None
    ) -> None:
        self._distributed, self._client = distributed, client
        self._function, self._instead = function, instead
        self._flying: dict[Any, tuple[int, Sequence[Any]]] = {}

    def results(self, chunks: Iterator[tuple[int, Sequence[Any]]], ordered: bool) -> Iterator[Any]:
        done: dict[int, list[Any]] = {}
        head = 0
        try:
            while True:
                room = self._threads() * _AHEAD - len(self._flying) - (len(done) if ordered else 0)
                for number, chunk in islice(chunks, max(room, 0)):
                    self._flying[self._client.submit(self._function, chunk, pure=False)] = number, chunk
                if not self._flying:
                    break
                for number, results in self._landed():
                    if not ordered:
                        yield from results
                    else:
                        done[number] = results
                while ordered and head in done:
                    yield from done.pop(head)
                    head += 1
        finally:
            # Who stops early, or has an error, leaves no work behind on machines that others share.
            with suppress(Exception):
                self._client.cancel(list(self._flying))

    def _threads(self) -> int:
        threads: dict[str, int] = self._client.nthreads()
        return max(1, sum(threads.values()))

    def _landed(self) -> Iterator[tuple[int, list[Any]]]:
        """Wait until at least one chunk is done."""
        last = time.monotonic()
        while True:
            with suppress(TimeoutError), self._client.as_current():
                self._distributed.wait(list(self._flying), timeout=_LOOK, return_when="FIRST_COMPLETED")
                break
            if self._client.status not in ("running", "connecting"):
                raise MedclError("the cluster was lost: what was finished is kept, the same command goes on from there")
            if self._client.nthreads():
                last = time.monotonic()
            elif time.monotonic() - last > _ALONE:
                raise MedclError(f"the cluster has had no worker for {_ALONE} s: start some and run the command again")
        for future in [one for one in self._flying if one.done()]:
            number, chunk = self._flying.pop(future)
            yield number, self._result(future, chunk)

    def _result(self, future: Any, chunk: Sequence[Any]) -> list[Any]:
        try:
            return [future.result()]
        except self._distributed.KilledWorker as error:
            if self._instead is None:
                raise MedclError(
                    "workers of the cluster died of the same chunk one after the other, as a rule for want of memory: "
                    "give them more, or fewer threads"
                ) from error
            if len(chunk) == 1:
                return [self._instead(chunk[0])]
        except self._distributed.client.FutureCancelledError as error:
            raise MedclError(
                "the cluster was lost: what was finished is kept, the same command goes on from there"
            ) from error
        return [
            result
            for item in chunk
            for result in self._result(self._client.submit(self._function, [item], pure=False), [item])
        ]
