"""Two machines train as one: two nodes of one process each, on this machine, as `torchrun` and a queue start them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
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


@pytest.fixture
def nodes() -> Iterator[Any]:
    """Starts `medcl pretrain` on two nodes; what is left of them is ended."""
    started: list[subprocess.Popen[str]] = []

    def start(recipe: dict[str, Any], manifest: Path, folder: Path, *more: str) -> list[subprocess.Popen[str]]:
        path = folder.with_suffix(".yaml")
        # The first input is the one whose records are the items.
        path.write_text(yaml.safe_dump({**recipe, "hardware": {**recipe["hardware"], "nodes": 2}}, sort_keys=False))
        port = str(a_port())
        both = []
        for rank in (0, 1):
            launch = ["--nnodes", "2", "--nproc-per-node", "1", "--node-rank", str(rank)]
            launch += ["--master-addr", "127.0.0.1", "--master-port", port, "-m", "medcl"]
            words = ["pretrain", str(path), "--manifest", str(manifest), "-o", str(folder), *more]
            program = [sys.executable, "-m", "torch.distributed.run", *launch, *words]
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            process = subprocess.Popen(  # noqa: S603
                program, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            both.append(process)
        started.extend(both)
        return both

    yield start
    for process in started:
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


def test_two_nodes_train_as_one(nodes: Any, ecg_manifest_path: Path, tmp_path: Path) -> None:
    # Five patients: the nodes have different numbers of them. The first node looks, the other one waits.
    recipe = without_dropout(on_signals(batch={"patients": 5, "records": 2, "samples": 2}, optimiser={"steps": 4}))
    recipe["monitor"] = {"every": 2, "batches": 1}
    medcl.pretrain(recipe, ecg_manifest_path, tmp_path / "on1")
    told = finish(nodes(recipe, ecg_manifest_path, tmp_path / "on2"))
    compare(tmp_path / "on1", tmp_path / "on2")
    for alone, together in zip(
        values_of(tmp_path / "on1", runs.MONITOR), values_of(tmp_path / "on2", runs.MONITOR), strict=True
    ):
        assert together == pytest.approx(alone, rel=1e-3, abs=1e-5)
    assert [text.count("run folder") for text in told] == [1, 0]


def test_two_nodes_choose_the_same_patients(nodes: Any, ecg_manifest_path: Path, tmp_path: Path) -> None:
    # Of four who are drawn two are trained on; they may both be of one node.
    recipe = without_dropout(on_signals(batch={"patients": 2, "samples": 2, "pool": 2}, optimiser={"steps": 5}))
    medcl.pretrain(recipe, ecg_manifest_path, tmp_path / "on1")
    finish(nodes(recipe, ecg_manifest_path, tmp_path / "on2"))
    compare(tmp_path / "on1", tmp_path / "on2")


def test_inputs_that_one_node_lacks(nodes: Any, three: Path, tmp_path: Path) -> None:
    # Three patients in a batch: the second node has one of them, in many steps without an image. With fewer, too few
    # are complete to be told apart, and AdamW makes large steps of gradients that are nothing but rounding.
    recipe = without_dropout(on_three("symile", batch={"patients": 3, "records": 1, "incomplete": True}))
    recipe["objectives"]["volume"] = {**recipe["objectives"]["joint"], "loss": "gram"}
    medcl.pretrain(recipe, three, tmp_path / "on1")
    finish(nodes(recipe, three, tmp_path / "on2"))
    compare(tmp_path / "on1", tmp_path / "on2")


def test_a_queue_ends_a_run_and_the_same_command_resumes_it(
    nodes: Any, ecg_manifest_path: Path, tmp_path: Path
) -> None:
    recipe = without_dropout(on_signals(optimiser={"steps": 60}))
    folder = tmp_path / "run"
    first, second = nodes(recipe, ecg_manifest_path, folder)
    begun = time.monotonic()
    while not (folder / runs.METRICS).exists() or not rows_of(folder):
        with suppress(subprocess.TimeoutExpired):
            first.wait(0.1)
        assert first.poll() is None, first.communicate()[0]
        assert time.monotonic() - begun < LIMIT
    for process in (first, second):
        process.send_signal(signal.SIGTERM)
    told = [process.communicate(timeout=LIMIT)[0] for process in (first, second)]
    assert ["--resume goes on" in text for text in told] == [True, False]
    taken = len(rows_of(folder))
    assert (folder / runs.CHECKPOINT).exists()
    assert 0 < taken < 60
    finish(nodes(recipe, ecg_manifest_path, folder, "--resume"))
    medcl.pretrain(recipe, ecg_manifest_path, tmp_path / "on1")
    compare(tmp_path / "on1", folder)
