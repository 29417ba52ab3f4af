"""The training loop that every method shares: optimiser, schedule, averaging, checkpoints, logs, a clean stop.

Every step is a pure function of (seed, step) and the weights: the step seeds the views and the dropout anew. So
nothing of the random state has to be saved, and 100 steps equal 50, a stop, and 50 more, to the bit on CPU.
"""

import math
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from tqdm.auto import tqdm

from medcl.errors import MedclError
from medcl.modality.sampling import Batch
from medcl.pretrain.averaging import average_of
from medcl.pretrain.checkpoint import State, resume_from, save
from medcl.pretrain.metrics import Board, MetricsFile
from medcl.pretrain.recipe import OptimiserConfig
from medcl.pretrain.watch import Watch, in_short
from medcl.runs import BOARD, CHECKPOINT, METRICS

Losses = dict[str, Tensor]


class InterruptedTrainingError(MedclError):
    """Training was stopped by the user; a checkpoint was written."""


@dataclass(frozen=True)
class Trained:
    """What the loop returns.

    Args:
        encoder_owner: the method with the weights to keep (the averaged copy where one is kept).
        step: number of steps that the weights have taken.
        losses: of the last step, by level, with the weighted `total`.
        samples_per_second: over this call's steps.
    """

    encoder_owner: nn.Module
    step: int
    losses: dict[str, float]
    samples_per_second: float


def learning_rate(config: OptimiserConfig, step: int) -> float:
    """The rate of step `step` (from 0): linear warm-up, then constant or a half cosine down to zero."""
    rising = max(1, round(config.warmup * config.steps))
    if step < rising:
        return config.learning_rate * (step + 1) / rising
    if config.schedule == "constant":
        return config.learning_rate
    done = (step - rising) / max(1, config.steps - rising)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def step_seed(seed: int, step: int, rank: int = 0) -> int:
    """A seed for one step on one process, unrelated to those of its neighbours."""
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1)[0])


@dataclass(frozen=True)
class Stage:
    """The place of one call of `train` in a run that trains several methods, one after the other.

    Steps are counted over the whole run: so are those of metrics, checkpoints and seeds.

    Args:
        name: in the column `stage` of the metrics; empty in a run of one stage, which has no such column.
        before: steps of the stages before.
        levels: names of the losses of all stages, the columns of the metrics; empty: those of this one.
    """

    name: str = ""
    before: int = 0
    levels: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Of the metrics; none where they follow from the losses."""
        if not self.levels:
            return ()
        stage = ("stage",) if self.name else ()
        return "step", *stage, "learning_rate", *self.levels, "total", "samples_per_second"


ONLY = Stage()


def train(
    fabric: Fabric,
    method: nn.Module,
    batches: Callable[[int, int], Iterable[Batch]],
    optimiser_config: OptimiserConfig,
    *,
    weights: Callable[[float], dict[str, float]],
    seed: int,
    folder: Path,
    resume: bool,
    until: int | None,
    checkpoint_every: int,
    stage: Stage = ONLY,
    monitor: Watch | None = None,
) -> Trained:
    """Train a method.

    Args:
        fabric: device, precision, processes.
        method: `method(batch, generator, active)` gives the losses of those objectives that are active; the generator
            draws the views.
        batches: `batches(start, stop)` yields the batches of steps start to stop - 1 of this stage.
        optimiser_config: AdamW and its schedule.
        weights: of each loss in the sum, by the share of the stage's steps that is done; those of objectives that are
            not active are absent.
        seed: of views and dropout.
        folder: of the run, for checkpoints and logs.
        resume: go on from last.ckpt.
        until: stop after this step of the run in this call, the schedule still made for all steps (for queues with a
            time limit).
        checkpoint_every: steps between two checkpoints.
        stage: of the run.
        monitor: looks at the weights now and then; the other processes wait where they next exchange something.

    Raises:
        MedclError: if a loss is not finite, or the checkpoint does not fit.
        InterruptedTrainingError: after Ctrl-C, once the running step is finished and saved.
    """
    parameters = [p for p in method.parameters() if p.requires_grad]
    fused = fabric.device.type == "cuda"
    optimiser: torch.optim.Optimizer = torch.optim.AdamW(
        parameters, lr=optimiser_config.learning_rate, weight_decay=optimiser_config.weight_decay, fused=fused
    )
    average = average_of(method, optimiser_config)
    wrapped, optimiser = fabric.setup(method, optimiser)
    if average is not None:
        average.to(fabric.device)
    state = State(method, optimiser, average)
    before, end = stage.before, stage.before + optimiser_config.steps
    step = resume_from(folder / CHECKPOINT, state) if resume else before
    last = min(end, until or end)
    metrics = MetricsFile(folder / METRICS, keep_below=step, columns=stage.columns) if fabric.is_global_zero else None
    board = Board(folder / BOARD) if fabric.is_global_zero else None
    values: dict[str, float] = {}
    looked: dict[str, str] = {}
    seen, begun = 0, time.perf_counter()
    bar = tqdm(total=end, initial=step, desc=stage.name, unit="step", disable=None if fabric.is_global_zero else True)

    def checkpoint() -> None:
        if fabric.is_global_zero:
            save(folder / CHECKPOINT, step, state)

    def look() -> None:
        nonlocal begun
        if monitor is None or board is None or not monitor.is_due(step):
            return
        paused = time.perf_counter()
        found = monitor.look(step, method, average, weights(max(0, step - before - 1) / optimiser_config.steps))
        named = {f"monitor/{name}": value for name, value in found.items()}
        board.write(named, step)
        fabric.log_dict(named, step)
        looked.update(in_short(found))
        begun += time.perf_counter() - paused

    if monitor is not None and board is not None:
        monitor.begin(step)
    # Of a run that was stopped before it.
    look()
    with _stop_asked() as asked, bar:
        for batch in batches(step - before, last - before):
            # One batch for all processes: the same views; dropout differs.
            generator = torch.Generator().manual_seed(step_seed(seed, step))
            torch.manual_seed(step_seed(seed + 1, step, fabric.global_rank))
            rate = learning_rate(optimiser_config, step - before)
            for group in optimiser.param_groups:
                group["lr"] = rate
            batch = fabric.to_device(batch)
            now = weights((step - before) / optimiser_config.steps)
            losses: Losses = wrapped(batch, generator, tuple(now))
            total = torch.stack([now[level] * loss for level, loss in losses.items()]).sum()
            values = _over_processes(fabric, {**losses, "total": total})
            if not math.isfinite(values["total"]):
                raise MedclError(
                    f"step {step + 1}: the loss is not finite ({values}); lower "
                    "optimiser.learning_rate, or look for extreme values in the archive"
                )
            optimiser.zero_grad(set_to_none=True)
            fabric.backward(total)
            if optimiser_config.clip > 0:
                fabric.clip_gradients(wrapped, optimiser, max_norm=optimiser_config.clip, error_if_nonfinite=False)
            optimiser.step()
            if average is not None:
                average.update_parameters(method)
            step += 1
            seen += round(_sum(fabric, len(batch["index"])))
            speed = seen / (time.perf_counter() - begun)
            bar.update()
            told = {**{k: f"{v:.3f}" for k, v in values.items()}, **looked, "samples/s": f"{speed:.0f}"}
            bar.set_postfix(told, refresh=False)
            if metrics is not None and board is not None:
                row = {"step": step, "learning_rate": rate, **values, "samples_per_second": round(speed, 1)}
                metrics.write({**row, "stage": stage.name} if stage.name else row)
                board.write({**values, "learning_rate": rate}, step)
                fabric.log_dict({**values, "learning_rate": rate}, step)
            stop = _sum(fabric, asked()) > 0  # by a signal that only one of the processes may have got
            if stop or (step % checkpoint_every == 0 and step < last):
                checkpoint()
            if stop:
                raise InterruptedTrainingError(
                    f"stopped after step {step} of {end}; the same command with --resume goes on"
                )
            look()
    checkpoint()
    if metrics is not None and board is not None:
        metrics.close()
        board.close()
    if monitor is not None:
        monitor.close()
    kept = average.module if average is not None else method
    return Trained(kept, step, values, seen / max(1e-9, time.perf_counter() - begun))


def _over_processes(fabric: Fabric, losses: Losses) -> dict[str, float]:
    """The mean over processes of each loss: what one process with the whole batch would have."""
    values = torch.stack([loss.detach() for loss in losses.values()])
    if fabric.world_size > 1:
        reduced = fabric.all_reduce(values, reduce_op="mean")
        assert isinstance(reduced, Tensor)
        values = reduced
    return dict(zip(losses, values.tolist(), strict=True))


def _sum(fabric: Fabric, value: float) -> float:
    """The sum over processes of a number."""
    if fabric.world_size == 1:
        return value
    return float(fabric.all_reduce(torch.tensor(float(value), device=fabric.device), reduce_op="sum"))  # type: ignore[arg-type]


@contextmanager
def _stop_asked() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C (or a queue's SIGTERM) into a question asked between steps; a second one is immediate."""
    asked = False

    def remember(number: int, frame: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    try:
        before = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: a notebook's executor, say; Ctrl-C then stops at once
        before = {}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
