"""A function in several processes that talk through gloo on this machine."""

import pickle
import socket
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch
import torch.distributed as dist
from torch import multiprocessing

LIMIT = 120
"""Seconds after which processes that wait for one another are given up."""
Workers = list[tuple[BaseProcess, Connection]]
_STARTED: dict[int, Workers] = {}
"""Processes by their number: they are started once, and wait for the next function."""


def across(world: int, function: Callable[..., Any], *args: Any) -> list[Any]:
    """What `function(rank, group, *args)` returns in each of the processes, by rank."""
    workers = _STARTED.pop(world, None) or _start(world)
    try:
        for _, pipe in workers:
            pipe.send((function, args))
        waiting, found = {pipe: rank for rank, (_, pipe) in enumerate(workers)}, {}
        while waiting:
            ready = wait(list(waiting), LIMIT)
            assert ready, "a process did not answer: do all of them call the same collectives?"
            for pipe in ready:
                answer = pickle.loads(pipe.recv_bytes())  # type: ignore[union-attr]
                # Told at once: the others may wait for a collective that this one never reaches.
                if isinstance(answer, BaseException):
                    raise answer
                found[waiting.pop(pipe)] = answer  # type: ignore[call-overload]
    except BaseException:
        # Some may wait for a collective that others never reach.
        for worker, _ in workers:
            worker.kill()
            worker.join()
        raise
    _STARTED[world] = workers
    return [found[rank] for rank in range(world)]


def _start(world: int) -> Workers:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # Processes that are forked from one which has imported torch: importing it anew takes each of them seconds.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "torch.distributed", "medcl.contrast"])
    workers: Workers = []
    for rank in range(world):
        here, there = context.Pipe()
        workers.append((context.Process(target=_work, args=(rank, world, port, there), daemon=True), here))
        workers[-1][0].start()
    return workers


def _work(rank: int, world: int, port: int, pipe: Connection) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)
    while True:
        try:
            function, args = pipe.recv()
        except EOFError:
            return
        try:
            result = function(rank, dist.group.WORLD, *args)
        except BaseException as error:  # noqa: BLE001 - told to the process that waits
            result = error
        pipe.send_bytes(pickle.dumps(result))
