"""A recipe: the whole of a pretraining run as data, read from YAML or nested mappings, and written into the run folder.

    inputs:      what is encoded: modality, preparation, random changes, encoder
    objectives:  what is contrasted with what, by which loss, each with its weight and its part of the schedule
    stages:      what is trained, for how long; by default all of it at once
    batch, optimiser, hardware, monitor, earlier

`read` makes a `Recipe` of it with every default filled in, or says which setting is wrong.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal

import yaml

if TYPE_CHECKING:
    from medcl.pretrain.objectives.base import ObjectiveConfig


@dataclass(frozen=True)
class BatchConfig:
    """Composition of a batch: patients x records x samples, so that every level has positives.

    Args:
        patients: number of patients in a batch.
        records: maximum number of records of a patient: recordings, volumes, images, linked records.
        samples: maximum number of samples of a record: windows of a recording, patches or slices of a volume. Where
            slices are drawn by partition, as many as there are partitions, or a multiple. Of linked records one sample
            is drawn.
        reuse: of volumes, batches that a volume is in, with other patches and with other patients, before the next
            volumes come. For archives that are larger than the memory: the first crop of a volume that is not in
            memory takes 19 ms, those right after it 1 ms (medians, 64^3 of 256 x 256 x 128 voxels on a local disk). 1
            mixes best, and is as fast where the store fits into memory.
        buffer: batches whose patients are shuffled among each other when they come again.
        incomplete: whether linked records count that lack an input.
        source: column of the manifest, such as `site`: the records of a batch all share it, so that negatives cannot be
            told by a site's marks or wording; of linked records, reports and samples in memory. Empty mixes all.
        repeat: COLUMN=VALUE, such as `origin=real`: an epoch has the patients of this value several `times` and all
            others once, so that synthetic patients count less than real ones (AdaInf). Nobody comes twice in a batch:
            it has at most the repeated patients and, of the others, one part in `times`.
        times: of those patients in an epoch.
        pool: patients who are drawn for each one who is trained on: those stay whose two views the encoder, as it is in
            this step, finds least alike, by the mean over their samples; of one input. 1 keeps all.
    """

    patients: int = 32
    records: int = 1
    samples: int = 2
    reuse: int = 1
    buffer: int = 8
    incomplete: bool = False
    source: str = ""
    repeat: str = ""
    times: int = 10
    pool: int = 1

    @property
    def drawn(self) -> int:
        """Patients who are drawn for a batch."""
        return self.patients * self.pool


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
        devices: number of devices of a machine; more than one trains with DistributedDataParallel.
        nodes: number of machines.
        precision: `auto` is bfloat16 autocast on CUDA and float32 on CPU.
        workers: loader processes; the batches are the same for any number.
        checkpoint_every: steps between two writes of last.ckpt.
        chunk: views that pass an encoder at a time, for batches larger than memory; 0 is all of them. Everything is
            still contrasted with everything, for one more forward pass a step.
        compile: whether encoders are compiled (`torch.compile`).
    """

    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = 1
    nodes: int = 1
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    workers: int = 0
    checkpoint_every: int = 200
    chunk: int = 0
    compile: bool = False


@dataclass(frozen=True)
class MonitorConfig:
    """What is looked at on validation patients while training goes on.

    Args:
        every: steps between two looks; 0 is never.
        batches: number of batches that are looked at.
        split: of the manifest, whose patients are not trained on.
        target: column of labels whose k-NN accuracy is followed; empty follows none.
        neighbours: k of that accuracy.
    """

    every: int = 0
    batches: int = 4
    split: str = "val"
    target: str = ""
    neighbours: int = 5


@dataclass(frozen=True)
class EarlierConfig:
    """A finished run that this one continues on patients who came later, such as those of another site.

    Args:
        run: its folder (`--continue RUN`); empty for none. Encoders begin with its weights in the place of `init`,
            objectives of the same name with what its last.ckpt holds of them, and its patients count as seen.
        replay: share of its patients in the manifest who are trained on again, at random; the others are left out.
    """

    run: str = ""
    replay: float = 0.0


@dataclass(frozen=True)
class InputConfig:
    """What is encoded.

    Args:
        modality: of the records: image, volume, signal, table or report.
        data: how records are prepared and samples are cut.
        views: random changes that make the views of a sample.
        more_views: further ones, by name, that objectives ask for: weaker or stronger ones, intensities alone.
        encoder: the network; `name: package.module:Class` is one of your own.
        init: what the encoder starts from: a run folder, a file of weights (safetensors), or a local hub folder with
            `model.safetensors`; empty starts with random weights. A run must not have seen patients whom this one does
            not train on.
        rename: of a file of weights, {beginning of the names in the file: beginning of the names in the encoder}; the
            longest one that fits counts.
        adapt: of a file of weights, whether kernels are inflated from two to three dimensions and input channels are
            averaged where the encoder has others.
        locked: whether the encoder keeps the weights that it starts from, and only its projections are trained (LiT,
            Zhai et al., CVPR 2022).
        reports: of reports, which ones are trained on: `all`; those of one `record`, such as captions; or those of a
            whole `study` or patient.
        like: another input whose samples and views this one encodes, by an encoder of its own.
        channels: of an input `like` another one of signals, the channels that it encodes, such as a stimulus that was
            recorded with an EEG; the other input encodes the rest.
    """

    modality: str
    data: Any
    views: Any
    encoder: Any
    more_views: dict[str, Any] = field(default_factory=dict)
    init: str = ""
    rename: dict[str, str] = field(default_factory=dict)
    adapt: bool = False
    locked: bool = False
    reports: Literal["all", "record", "study"] = "all"
    like: str = ""
    channels: tuple[str, ...] = ()


@dataclass(frozen=True)
class StageConfig:
    """A part of the training that comes after another one.

    Args:
        name: in the metrics.
        objectives: names of those that are trained; none stands for all.
        steps: of the stage; 0 takes those of the optimiser.
        learning_rate: its maximum; 0 takes that of the optimiser.
        freeze: what keeps its weights: names of inputs, or of parts of their encoders, such as
            `volume.network.encoder`.
    """

    name: str = ""
    objectives: tuple[str, ...] = ()
    steps: int = 0
    learning_rate: float = 0.0
    freeze: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """A whole pretraining run, as it is written to the run folder.

    Args:
        inputs: what is encoded, by name.
        objectives: what is learned, by name.
        stages: what is trained one after the other; none stands for one stage of all objectives.
        seed: random seed of weights, batches, views and dropout.
        splits: of the manifest that are trained on. A patient who is tested later must not be in them.
        batch: composition of a batch.
        optimiser: AdamW and its schedule.
        hardware: device, precision and processes.
        monitor: what is looked at on validation patients.
        earlier: a run that is continued.
        method: name of the method, for the reader.
        source: the publication that the recipe follows, for the reader.
    """

    inputs: dict[str, InputConfig]
    objectives: "dict[str, ObjectiveConfig]"
    stages: tuple[StageConfig, ...] = ()
    seed: int = 0
    splits: tuple[str, ...] = ("train",)
    batch: BatchConfig = field(default_factory=BatchConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    hardware: HardwareConfig = field(default_factory=HardwareConfig)
    monitor: MonitorConfig = field(default_factory=MonitorConfig)
    earlier: EarlierConfig = field(default_factory=EarlierConfig)
    method: str = ""
    source: str = ""

    @property
    def trained(self) -> tuple[StageConfig, ...]:
        """The stages, complete."""
        every = tuple(self.objectives)
        return tuple(
            replace(
                one,
                objectives=one.objectives or every,
                steps=one.steps or self.optimiser.steps,
                learning_rate=one.learning_rate or self.optimiser.learning_rate,
            )
            for one in self.stages or (StageConfig(),)
        )

    @property
    def steps(self) -> int:
        """Of all stages."""
        return sum(one.steps for one in self.trained)

    def shortened(self, share: float) -> "Recipe":
        """The recipe with a share of its steps, in every stage, and at least one."""

        def fewer(steps: int) -> int:
            return max(1, round(share * steps))

        stages = tuple(replace(one, steps=fewer(one.steps)) if one.steps else one for one in self.stages)
        return replace(self, optimiser=replace(self.optimiser, steps=fewer(self.optimiser.steps)), stages=stages)

    def as_yaml(self) -> str:
        """The recipe with every default filled in."""
        return yaml.safe_dump(as_settings(self), sort_keys=False, allow_unicode=True)


GROUPS: dict[str, type] = {
    "batch": BatchConfig,
    "optimiser": OptimiserConfig,
    "hardware": HardwareConfig,
    "monitor": MonitorConfig,
    "earlier": EarlierConfig,
}
"""The groups of settings that are the same for all recipes."""
ROOTS = tuple(one.name for one in fields(Recipe))
"""What a recipe holds."""


def as_settings(recipe: Recipe) -> dict[str, Any]:
    """A recipe as nested dictionaries, lists and numbers, in the order in which it is read."""
    plain_values = _lists(asdict(recipe))
    order = ("method", "source", "seed", "splits", *ROOTS)
    return {name: plain_values[name] for name in dict.fromkeys(order)}


def _lists(value: Any) -> Any:
    """Tuples as lists, as YAML has them."""
    if isinstance(value, Mapping):
        return {name: _lists(one) for name, one in value.items()}
    return [_lists(one) for one in value] if isinstance(value, list | tuple) else value
