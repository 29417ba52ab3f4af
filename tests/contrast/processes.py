"""A function in several processes that talk through gloo on this machine."""

import pickle
import socket
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import torch
import torch.distributed as dist
from torch import multiprocessing

LIMIT = 120
"""Seconds after which processes that wait for one another are given up."""


def across(world: int, function: Callable[..., Any], *args: Any) -> list[Any]:
    """What `function(rank, group, *args)` returns in each of the processes, by rank."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # Processes that are forked from one which has imported torch: importing it anew takes each of them seconds.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "torch.distributed", "medcl.contrast"])
    pipes = [context.Pipe(duplex=False) for _ in range(world)]
    workers = [
        context.Process(target=_work, args=(rank, world, port, pipes[rank][1], function, args)) for rank in range(world)
    ]
    try:
        for worker in workers:
            worker.start()
        answers = []
        for receive, _ in pipes:
            assert receive.poll(LIMIT), "a process did not answer: do all of them take part in the same collectives?"
            answers.append(pickle.loads(receive.recv_bytes()))
    finally:
        for worker in workers:
            worker.kill()
            worker.join()
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers


def _work(
    rank: int, world: int, port: int, answer: Connection, function: Callable[..., Any], args: tuple[Any, ...]
) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)
    try:
        result = function(rank, dist.group.WORLD, *args)
    except BaseException as error:  # noqa: BLE001 - told to the process that waits
        result = error
    answer.send_bytes(pickle.dumps(result))
    # The others may still wait for this one's part.
    answer.close()
    dist.destroy_process_group()
