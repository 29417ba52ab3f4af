"""The device, precision and processes of a run."""

from collections.abc import Sequence
from typing import Any

import torch

from medcl.engine.fabric import Fabric
from medcl.errors import UsageError
from medcl.pretrain.recipe import HardwareConfig


def fabric_for(config: HardwareConfig, loggers: Sequence[Any] = ()) -> Fabric:
    """The device, precision and processes that the configuration asks for.

    Raises:
        UsageError: no device, or more devices than there are.
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
        loggers=list(loggers),
    )
