"""Two machines train as one: two nodes of one process each, on this machine, as `torchrun` and a queue start them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

import medcl
from medcl import runs
from medcl.archive.manifest import Manifest

from .looked_at import on_signals, on_three, rows_of, three_inputs, values_of

ROOT, LIMIT = Path(__file__).parents[2], 240


@pytest.fixture(scope="module")
def three(ecg_manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("three")
    three_inputs(ecg_manifest, folder).write(folder / "three.parquet")
    return folder / "three.parquet"


def a_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def start(*calls: list[str]) -> list[subprocess.Popen[str]]:
    """Two nodes, each of which runs the calls of `medcl` one after the other."""
    port = str(a_port())
    both = []
    for rank in (0, 1):
        launch = ["--nnodes", "2", "--nproc-per-node", "1", "--node-rank", str(rank)]
        launch += ["--master-addr", "127.0.0.1", "--master-port", port, "-m", "tests.pretrain.commands"]
        program = [sys.executable, "-m", "torch.distributed.run", *launch, json.dumps(calls)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            program, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        both.append(process)
    return both


def call(recipe: dict[str, Any], manifest: Path, folder: Path, *more: str) -> list[str]:
    path = folder.with_suffix(".yaml")
    # The first input is the one whose records are the items.
    path.write_text(yaml.safe_dump({**recipe, "hardware": {**recipe["hardware"], "nodes": 2}}, sort_keys=False))
    return ["pretrain", str(path), "--manifest", str(manifest), "-o", str(folder), *more]


@contextmanager
def ended(processes: list[subprocess.Popen[str]]) -> Iterator[None]:
    """What is left of them is ended."""
    try:
        yield
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()


def finish(processes: list[subprocess.Popen[str]]) -> list[str]:
    told = [process.communicate(timeout=LIMIT)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(told)
    return told


def compare(one: Path, two: Path) -> None:
    for alone, together in zip(values_of(one), values_of(two), strict=True):
        assert together == pytest.approx(alone, rel=5e-5, abs=1e-6)
    first, second = load_file(one / runs.WEIGHTS), load_file(two / runs.WEIGHTS)
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=1e-3, atol=1e-5)


def without_dropout(recipe: dict[str, Any]) -> dict[str, Any]:
    # What is random in an encoder differs between processes.
    recipe["inputs"]["signal"]["encoder"]["dropout"] = 0.0
    return recipe


# Five patients: the nodes have different numbers of them. The first node looks, the other one waits.
UNEVEN = without_dropout(on_signals(batch={"patients": 5, "records": 2, "samples": 2}, optimiser={"steps": 4}))
UNEVEN["monitor"] = {"every": 2, "batches": 1}
# Of four who are drawn two are trained on; they may both be of one node.
CHOSEN = without_dropout(on_signals(batch={"patients": 2, "samples": 2, "pool": 2}, optimiser={"steps": 5}))
# Three patients in a batch: the second node has one of them, in many steps without an image. With fewer, too few
# are complete to be told apart, and AdamW makes large steps of gradients that are nothing but rounding.
LACKING = without_dropout(on_three("symile", batch={"patients": 3, "records": 1, "incomplete": True}))
LACKING["objectives"] = {**LACKING["objectives"], "volume": {**LACKING["objectives"]["joint"], "loss": "gram"}}


# Many steps, so that a queue can end it, and small ones: what two nodes round otherwise grows from step to step.
QUEUED = without_dropout(on_signals(optimiser={"steps": 60, "learning_rate": 1e-4}))


@pytest.fixture(scope="module")
def two_nodes(ecg_manifest_path: Path, three: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The folder of four runs by two nodes, the last of which a queue ended, and what each node told."""
    folder = tmp_path_factory.mktemp("nodes")
    both = start(
        call(UNEVEN, ecg_manifest_path, folder / "uneven"),
        call(CHOSEN, ecg_manifest_path, folder / "chosen"),
        call(LACKING, three, folder / "lacking"),
        call(QUEUED, ecg_manifest_path, folder / "queued"),
    )
    with ended(both):
        begun = time.monotonic()
        while not (folder / "queued" / runs.METRICS).exists() or not rows_of(folder / "queued"):
            with suppress(subprocess.TimeoutExpired):
                both[0].wait(0.1)
            assert both[0].poll() is None, both[0].communicate()[0]
            assert time.monotonic() - begun < LIMIT
        for process in both:
            process.send_signal(signal.SIGTERM)
        return folder, [process.communicate(timeout=LIMIT)[0] for process in both]


def test_two_nodes_train_as_one(two_nodes: tuple[Path, list[str]], ecg_manifest_path: Path, tmp_path: Path) -> None:
    medcl.pretrain(UNEVEN, ecg_manifest_path, tmp_path / "on1")
    on2 = two_nodes[0] / "uneven"
    compare(tmp_path / "on1", on2)
    for alone, together in zip(values_of(tmp_path / "on1", runs.MONITOR), values_of(on2, runs.MONITOR), strict=True):
        assert together == pytest.approx(alone, rel=1e-3, abs=1e-5)
    assert [text.count("run folder") for text in two_nodes[1]] == [3, 0]


def test_two_nodes_choose_the_same_patients(
    two_nodes: tuple[Path, list[str]], ecg_manifest_path: Path, tmp_path: Path
) -> None:
    medcl.pretrain(CHOSEN, ecg_manifest_path, tmp_path / "on1")
    compare(tmp_path / "on1", two_nodes[0] / "chosen")


def test_inputs_that_one_node_lacks(two_nodes: tuple[Path, list[str]], three: Path, tmp_path: Path) -> None:
    medcl.pretrain(LACKING, three, tmp_path / "on1")
    compare(tmp_path / "on1", two_nodes[0] / "lacking")


def test_a_queue_ends_a_run_and_the_same_command_resumes_it(
    two_nodes: tuple[Path, list[str]], ecg_manifest_path: Path, tmp_path: Path
) -> None:
    folder = two_nodes[0] / "queued"
    assert ["--resume goes on" in text for text in two_nodes[1]] == [True, False]
    assert (folder / runs.CHECKPOINT).exists()
    assert 0 < len(rows_of(folder)) < 60
    again = start([*call(QUEUED, ecg_manifest_path, folder), "--resume"])
    with ended(again):
        finish(again)
    medcl.pretrain(QUEUED, ecg_manifest_path, tmp_path / "on1")
    compare(tmp_path / "on1", folder)
