"""The training loop that every method shares: optimiser, schedule, averaging, checkpoints, logs, a clean stop.

Every step is a pure function of (seed, step) and the weights: the step seeds the views and the dropout anew. So
nothing of the random state has to be saved, and 100 steps equal 50, a stop, and 50 more, to the bit on CPU.
"""

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, get_swa_multi_avg_fn

from medcl.data.ahead import ahead
from medcl.engine.fabric import Fabric
from medcl.engine.progress import progress
from medcl.errors import MedclError
from medcl.pretrain.checkpoint import State, resume_from, save, step_of
from medcl.pretrain.informative import informative
from medcl.pretrain.metrics import Log
from medcl.pretrain.model import Model
from medcl.pretrain.monitor import Monitor, in_short
from medcl.pretrain.plan import Plan
from medcl.pretrain.recipe import OptimiserConfig
from medcl.runs import CHECKPOINT


class InterruptedTrainingError(MedclError):
    """Training was stopped by the user or a queue; a checkpoint was written."""

    def __init__(self, message: str, *, speaks: bool = True) -> None:
        super().__init__(message)
        self.speaks = speaks


@dataclass(frozen=True)
class Trained:
    """What the loop returns.

    Args:
        model: with the weights to keep (the averaged copy where one is kept).
        step: number of steps that the weights have taken.
        losses: of the last step, by level, with the weighted `total`.
        samples_per_second: over this call's steps.
    """

    model: Model
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


def train(plan: Plan, fabric: Fabric, folder: Path, *, resume: bool, until: int | None) -> Trained:
    """Train all stages from the one that the checkpoint belongs to, each from the weights of the one before.

    Args:
        plan: what is trained on what.
        fabric: device, precision, processes.
        folder: of the run, for checkpoints and logs.
        resume: go on from last.ckpt.
        until: stop after this step of the run in this call, the schedule still made for all steps (for queues with a
            time limit).

    Raises:
        MedclError: if a loss is not finite, or the checkpoint does not fit.
        InterruptedTrainingError: after Ctrl-C, once the running step is finished and saved.
    """
    stages = plan.recipe.trained
    taken = step_of(folder / CHECKPOINT) if resume else 0
    trained: Trained | None = None
    before = 0
    for number, stage in enumerate(stages):
        end = before + stage.steps
        # A stage that is just finished is loaded for its weights, from which the next one begins.
        if taken <= end or number == len(stages) - 1:
            # New weights depend on nothing but the seed: not on whether the stage before ran in this call.
            torch.manual_seed(plan.recipe.seed + number)
            model = plan.model(stage, trained.model if trained else None)
            begun = resume and (before < taken or number == 0)
            trained = _train(plan, number, model, before, fabric, folder, resume=begun, until=until)
            if trained.step < end or (until is not None and until <= end):
                break
        before = end
    assert trained is not None
    return trained


def _train(
    plan: Plan, number: int, model: Model, before: int, fabric: Fabric, folder: Path, *, resume: bool, until: int | None
) -> Trained:
    """One stage; steps are counted over the whole run, and so are those of metrics, checkpoints and seeds."""
    recipe, stage = plan.recipe, plan.recipe.trained[number]
    config = replace(recipe.optimiser, steps=stage.steps, learning_rate=stage.learning_rate)
    optimiser: torch.optim.Optimizer = torch.optim.AdamW(
        [one for one in model.parameters() if one.requires_grad],
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        fused=fabric.device.type == "cuda",
    )
    average = _average_of(model, config)
    wrapped, optimiser = fabric.setup(model, optimiser)
    if average is not None:
        average.to(fabric.device)
    state = State(model, optimiser, average)
    end = before + config.steps
    step = resume_from(folder / CHECKPOINT, state) if resume else before
    last = min(end, until or end)
    named = {"stage": stage.name} if len(recipe.trained) > 1 and stage.name else {}
    values: dict[str, float] = {}
    looked: dict[str, str] = {}
    seen, begun = 0, time.perf_counter()

    def checkpoint() -> None:
        if fabric.is_global_zero:
            save(folder / CHECKPOINT, step, state)

    def look() -> None:
        nonlocal begun
        if monitor is None or log is None or not monitor.is_due(step):
            return
        paused = time.perf_counter()
        found = monitor.look(step, model, average, plan.weights(stage, max(0, step - before - 1) / config.steps))
        log.tell({f"monitor/{name}": value for name, value in found.items()}, step)
        looked.update(in_short(found))
        begun += time.perf_counter() - paused

    with ExitStack() as stack:
        # The first process alone writes and looks; the others wait where they next exchange something.
        columns = ("step", *named, "learning_rate", *plan.losses(), "total", "samples_per_second")
        log = stack.enter_context(closing(Log(folder, step, columns, fabric))) if fabric.is_global_zero else None
        watched = log is not None and plan.held is not None
        monitor = stack.enter_context(closing(Monitor(plan, stage, named, fabric, folder, step))) if watched else None
        look()  # Of a run that was stopped before it.
        asked = stack.enter_context(_stop_asked())
        title = named.get("stage", "pretrain")
        bar = stack.enter_context(progress(title, end, "step", done=step, hidden=log is None))
        batches = plan.batches(number, stage, fabric, step - before, last - before)
        for batch in ahead(batches, fabric.device):
            # One batch for all processes: the same views; dropout differs.
            generator = torch.Generator().manual_seed(step_seed(recipe.seed, step))
            torch.manual_seed(step_seed(recipe.seed + 1, step, fabric.global_rank))
            if recipe.batch.pool > 1:
                with fabric.autocast():
                    by = torch.Generator().manual_seed(step_seed(recipe.seed + 2, step))
                    batch = informative(model, batch, by, recipe.batch.patients)
            rate = learning_rate(config, step - before)
            for group in optimiser.param_groups:
                group["lr"] = rate
            now = plan.weights(stage, (step - before) / config.steps)
            losses: dict[str, Tensor] = wrapped(batch, generator, tuple(now))
            total = torch.stack([now[level] * loss for level, loss in losses.items()]).sum()
            values = _over_processes(fabric, {**losses, "total": total})
            if not math.isfinite(values["total"]):
                raise MedclError(
                    f"step {step + 1}: the loss is not finite ({values}); lower "
                    "optimiser.learning_rate, or look for extreme values in the archive"
                )
            optimiser.zero_grad(set_to_none=True)
            fabric.backward(total)
            if config.clip > 0:
                fabric.clip_gradients(wrapped, optimiser, max_norm=config.clip, error_if_nonfinite=False)
            optimiser.step()
            if average is not None:
                average.update_parameters(model)
            step += 1
            seen += round(_sum(fabric, len(batch["index"])))
            speed = seen / (time.perf_counter() - begun)
            bar.update()
            told = {**{k: f"{v:.3f}" for k, v in values.items()}, **looked, "samples/s": f"{speed:.0f}"}
            bar.set_postfix(told, refresh=False)
            if log is not None:
                logged = {**values, "learning_rate": rate}
                log.write({"step": step, **named, **logged, "samples_per_second": round(speed, 1)})
                log.tell(logged, step)
            stop = _sum(fabric, asked()) > 0  # by a signal that only one of the processes may have got
            if stop or (step % recipe.hardware.checkpoint_every == 0 and step < last):
                checkpoint()
            if stop:
                # Where one process has ended, whoever started them may end the one that is still writing.
                fabric.barrier()
                stopped = f"stopped after step {step} of {end}; the same command with --resume goes on"
                raise InterruptedTrainingError(stopped, speaks=fabric.is_global_zero)
            look()
    checkpoint()
    kept = cast(Model, average.module) if average is not None else model
    return Trained(kept, step, values, seen / max(1e-9, time.perf_counter() - begun))


def _average_of(model: nn.Module, config: OptimiserConfig) -> AveragedModel | None:
    """The averaged copy that a configuration asks for; None where the last weights are kept."""
    if config.average == "none":
        return None
    ema = config.average == "ema"
    averaging: Any = get_ema_multi_avg_fn(config.decay) if ema else _plain_average  # type: ignore[no-untyped-call]
    return AveragedModel(model, multi_avg_fn=averaging, use_buffers=True)


def _plain_average(averaged: list[Tensor], current: list[Tensor], number: Tensor | int) -> None:
    """The running average of all steps; counters and ids, which have no average, are those of the last step."""
    if averaged[0].is_floating_point():
        get_swa_multi_avg_fn()(averaged, current, number)  # type: ignore[no-untyped-call]
    else:
        for before, now in zip(averaged, current, strict=True):
            before.copy_(now)


def _over_processes(fabric: Fabric, losses: dict[str, Tensor]) -> dict[str, float]:
    """The mean over processes of each loss: what one process with the whole batch would have."""
    values = torch.stack([loss.detach() for loss in losses.values()])
    if fabric.world_size > 1:
        values = cast(Tensor, fabric.all_reduce(values, reduce_op="mean"))
    return dict(zip(losses, values.tolist(), strict=True))


def _sum(fabric: Fabric, value: float) -> float:
    """The sum over processes of a number."""
    if fabric.world_size == 1:
        return value
    return float(fabric.all_reduce(torch.tensor(float(value), device=fabric.device), reduce_op="sum"))  # type: ignore[arg-type]


@contextmanager
def _stop_asked() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C, or SIGTERM, into a question asked between steps; a second Ctrl-C is immediate.

    A second SIGTERM is not: a queue, `srun` and `torchrun` may each send one.
    """
    asked = False

    def remember(number: int, frame: object) -> None:
        nonlocal asked
        if asked and number == signal.SIGINT:
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
