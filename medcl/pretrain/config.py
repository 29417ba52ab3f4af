"""The configuration of a pretraining run: importable without torch, so that the command line stays quick."""

from dataclasses import dataclass, field
from typing import Literal

from medcl.modality.signal.config import SignalConfig, SignalEncoderConfig, SignalViewsConfig


@dataclass(frozen=True)
class BatchConfig:
    """Composition of a batch: patients x trials x samples, so that every level has positives.

    Args:
        patients: number of patients in a batch.
        trials: maximum number of recordings of a patient.
        samples: maximum number of windows of a recording.
    """

    patients: int = 32
    trials: int = 2
    samples: int = 2


@dataclass(frozen=True)
class CometConfig:
    """COMET (Wang et al., NeurIPS 2023): which levels are contrasted, and how.

    Args:
        levels: weight of each level among patient, session, trial, sample, observation; a level that is absent is
            off. `{sample: 1}` is TS2Vec's instance loss, `{patient: 1}` is CLOCS.
        views: `shared`: two encoder passes serve all levels. `per-level`: two passes a level, patient and trial
            without mask, as in the paper.
        weights: `configured`, or `released-code`: patient and trial enter with weight 1 whatever is configured, as in
            the published repository.
        identity: what the patient and trial losses compare: `aligned` embeddings, time step by time step (the paper),
            or `pooled` ones: one vector a window through a projection head, by InfoNCE over both views in which every
            window of the same id is a positive.
        temperature: of the patient and trial losses.
        projection: width of the projection head of pooled embeddings.
    """

    levels: dict[str, float] = field(
        default_factory=lambda: {"patient": 0.25, "trial": 0.25, "sample": 0.25, "observation": 0.25}
    )
    views: Literal["shared", "per-level"] = "shared"
    weights: Literal["configured", "released-code"] = "configured"
    identity: Literal["aligned", "pooled"] = "aligned"
    temperature: float = 0.1
    projection: int = 64


@dataclass(frozen=True)
class OptimiserConfig:
    """AdamW and its schedule.

    Args:
        steps: total number of optimiser steps.
        learning_rate: its maximum.
        weight_decay: of AdamW.
        schedule: `constant`, or `cosine` down to zero at the last step.
        warmup: share of the steps in which the rate rises linearly.
        clip: maximum norm of the gradient; 0 for no clipping.
        average: which copy of the weights is saved: `swa` (plain running average of every step, as in COMET), `ema`,
            or `none` (the last step's).
        decay: of the exponential moving average.
    """

    steps: int = 1000
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup: float = 0.1
    clip: float = 1.0
    average: Literal["swa", "ema", "none"] = "ema"
    decay: float = 0.99


@dataclass(frozen=True)
class HardwareConfig:
    """Device, precision and processes.

    Args:
        accelerator: `auto`, `cpu` or `cuda`.
        devices: number of devices; more than one trains with DistributedDataParallel.
        precision: `auto` is bfloat16 autocast on CUDA and float32 on CPU.
        workers: loader processes; the batches are the same for any number.
        checkpoint_every: steps between two writes of last.ckpt.
        chunk: views that pass the encoder at a time, for batches larger than memory; 0 is all of them. Everything is
            still contrasted with everything, for one more forward pass a step.
    """

    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = 1
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    workers: int = 0
    checkpoint_every: int = 200
    chunk: int = 0


@dataclass(frozen=True)
class PretrainConfig:
    """A whole pretraining run, as it is written to the run folder.

    Args:
        method: name of the method.
        seed: random seed of weights, batches, views and dropout.
        splits: of the manifest that are trained on. A patient who is tested later must not be in them.
        data: preparation of recordings, and the length of a window.
        batch: composition of a batch.
        views: random changes that make the two views of a window.
        encoder: the network.
        comet: levels and weights.
        optimiser: AdamW and its schedule.
        hardware: device, precision and processes.
    """

    method: Literal["comet"] = "comet"
    seed: int = 0
    splits: tuple[str, ...] = ("train",)
    data: SignalConfig = field(default_factory=SignalConfig)
    batch: BatchConfig = field(default_factory=BatchConfig)
    views: SignalViewsConfig = field(default_factory=SignalViewsConfig)
    encoder: SignalEncoderConfig = field(default_factory=SignalEncoderConfig)
    comet: CometConfig = field(default_factory=CometConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    hardware: HardwareConfig = field(default_factory=HardwareConfig)
