"""The device, precision and processes of a run."""

import os
from collections.abc import Sequence
from typing import Any

import torch

from medcl.engine.fabric import Fabric, LightningEnvironment
from medcl.errors import UsageError
from medcl.pretrain.recipe import HardwareConfig


def fabric_for(config: HardwareConfig, loggers: Sequence[Any] = ()) -> Fabric:
    """The device, precision and processes that the configuration asks for.

    Raises:
        UsageError: no device, more devices than there are, or SLURM started other processes.
    """
    accelerator = config.accelerator
    if accelerator == "auto":
        accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    if config.devices < 1:
        raise UsageError(f"hardware.devices: {config.devices}; a run needs at least one device")
    there = torch.cuda.device_count() if accelerator == "cuda" else config.devices
    if config.devices > there:
        wanted = f"{config.devices} CUDA device{'s' if config.devices > 1 else ''}"
        raise UsageError(
            f"hardware.devices: requested {wanted}, found {there}; set hardware.accelerator to cpu or auto, or "
            "hardware.devices to what there is"
        )
    precision = config.precision
    if precision == "auto":
        precision = "bf16-mixed" if accelerator == "cuda" else "32-true"
    strategy = "ddp" if config.devices * config.nodes > 1 else "auto"
    return Fabric(
        accelerator=accelerator,
        devices=config.devices,
        num_nodes=config.nodes,
        precision=precision,
        strategy=strategy,
        plugins=_started_by(config),
        loggers=list(loggers),
    )


def _started_by(config: HardwareConfig) -> LightningEnvironment | None:
    """Who starts the processes: None where Lightning finds that by itself.

    Lightning takes every process in a job of SLURM for one of its tasks. Where the job has a single task, it would
    train on one device of several; in a script without `srun`, it would wait for tasks that nobody starts; and of a
    single process on a machine that has SLURM, it would warn that `srun` is not used.
    """
    if torch.distributed.is_torchelastic_launched():
        return None
    if "SLURM_JOB_ID" not in os.environ:
        return LightningEnvironment() if config.devices * config.nodes == 1 else None
    told = {name: os.environ.get(f"SLURM_{name}") for name in ("NTASKS", "NNODES", "NTASKS_PER_NODE", "STEP_ID")}
    is_task = told["STEP_ID"] is not None and told["NTASKS"] not in (None, "1")
    if not is_task and config.nodes == 1:
        return LightningEnvironment()
    if not is_task or (told["NNODES"], told["NTASKS_PER_NODE"]) != (str(config.nodes), str(config.devices)):
        raise UsageError(
            f"hardware.nodes: {config.nodes} and hardware.devices: {config.devices} in a job of SLURM need "
            f"`srun --nodes={config.nodes} --ntasks-per-node={config.devices} medcl pretrain ...`"
        )
    return None
