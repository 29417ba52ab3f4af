"""The configurations of evaluations: importable without torch, so that the command line stays quick."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from medcl.modality.spatial.config import ImageViewsConfig

Init = Literal["pretrained", "random"]


@dataclass(frozen=True)
class MultimodalEvaluateConfig:
    """Evaluation of an encoder of several modalities: retrieval, zero-shot classification, grounding, modality gap.

    Args:
        prompts: prompts for zero-shot classification (YAML file, or the name of a shipped one): classes of targets in
            words.
        split: split whose records are tested.
        text: text of a report: the `whole` report, cut at the encoder's length, or the mean of its sentences
            (`sentence`).
        reports: reports that count as partners: `all`; those of one `record`, such as captions; or those of a whole
            `study` or patient. The others are neither queries nor candidates.
        ranks: values of k in recall@k and precision@k.
        bootstrap: number of bootstrap samples of the patients.
        seed: random seed of the bootstrap.
        temperature: temperature of the softmax over classes.
        images: number of grounding images of the best retrieved pairs, and of the worst.
        allow_transductive: test on patients that were seen in pretraining, and say so on the page.
        jobs: number of processes that prepare records; -1 is one a core.
    """

    prompts: Path | None = None
    split: str = "test"
    text: Literal["whole", "sentence"] = "whole"
    reports: Literal["all", "record", "study"] = "all"
    ranks: tuple[int, ...] = field(default=(1, 5, 10))
    bootstrap: int = 1000
    seed: int = 0
    temperature: float = 0.1
    images: int = 3
    allow_transductive: bool = False
    jobs: int = -1


PROTOCOLS = ("probe", "knn", "finetune", "pixels")
USUAL = PROTOCOLS[:3]


@dataclass(frozen=True)
class FinetuneConfig:
    """Full fine-tuning: an MLP head, the encoder trained too, for pretrained and random weights alike.

    Training goes on until the validation metric improves no more, so that training from scratch is not cut short.

    Args:
        steps: largest number of optimiser steps.
        batch: number of records in a step.
        windows: number of random windows of a record in a step; the evaluation uses all of them.
        learning_rate: learning rate of AdamW.
        weight_decay: weight decay of AdamW.
        evaluate_every: number of steps between two evaluations on the validation patients (an epoch, where that is
            longer).
        patience: number of evaluations without improvement after which training stops.
    """

    steps: int = 3000
    batch: int = 16
    windows: int = 1
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    evaluate_every: int = 20
    patience: int = 10


@dataclass(frozen=True)
class EvaluateConfig:
    """Evaluation of an encoder on labels: probe, nearest neighbours and fine-tuning at label fractions.

    Args:
        target: label column.
        labels: label fractions: shares (1%, 0.1) or numbers (50) of the training patients.
        unit: unit that a fraction counts.
        protocols: frozen encoder (`probe`: logistic regression, `knn`), the encoder trained too (`finetune`), or the
            probe beside one on raw pixels (16 x 16) in the place of random weights (`pixels`).
        repeats: number of random seeds, each with its own subsets and random weights.
        repeats_full: number of random seeds of fine-tuning with all labels, where there is only one subset; 0: as many
            as `repeats`.
        seed: random seed; repeats count up from it.
        bootstrap: number of bootstrap samples of the test patients.
        allow_transductive: test on patients that were seen in pretraining, and say so on the page.
        finetune: settings of full fine-tuning.
        jobs: number of processes; the result is the same for any number.
        side: name of the encoder, of a run that has several of one modality; default: the first that reads the records
            with labels.
    """

    target: str
    labels: list[str] = field(default_factory=lambda: ["1%", "10%", "100%"])
    unit: Literal["patient", "record"] = "patient"
    protocols: list[Literal["probe", "knn", "finetune", "pixels"]] = field(
        default_factory=lambda: ["probe", "knn", "finetune"]
    )
    repeats: int = 5
    repeats_full: int = 0
    seed: int = 0
    bootstrap: int = 1000
    allow_transductive: bool = False
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)
    jobs: int = -1
    side: str = ""


AUGMENTATION = ImageViewsConfig(
    flip=0.5, flip_axes=(0,), rotation=15.0, scale=(0.9, 1.1), elastic=2.0, contrast=(0.8, 1.2), brightness=0.1
)
"""Movements that a patient could have made, and intensities of another scanner; the label map is moved likewise."""


@dataclass(frozen=True)
class SegmentConfig:
    """How a network is trained to segment, the same for pretrained and random weights.

    Args:
        iterations: number of optimiser steps; all of them are done, for a short schedule favours pretrained weights.
        batch: number of patches in an iteration.
        learning_rate: learning rate of Adam.
        loss: `dice` is 1 - the mean soft Dice of all classes, the background included, over the whole batch;
            `dice-ce` adds the cross-entropy.
        mixup: alpha of the Beta distribution by which pairs of patches and their labels are mixed; 0 is off.
        evaluate_every: number of iterations between two evaluations on the validation patients.
        validation_volumes: number of labelled validation patients, with a volume each, by whose Dice the weights are
            chosen; 0 takes the last weights.
        overlap: overlap of neighbouring windows in the prediction of a volume that is larger than a patch, as a share;
            None is 0.5 for slices, 0.25 for cubes, of which half an overlap would take 8 times as many as fill the
            volume.
        views: augmentation; axes are those of a patch, of a slice its two axes in the order of RAS+.
    """

    iterations: int = 1500
    batch: int = 16
    learning_rate: float = 1e-3
    loss: Literal["dice", "dice-ce"] = "dice"
    mixup: float = 0.0
    evaluate_every: int = 50
    validation_volumes: int = 2
    overlap: float | None = None
    views: ImageViewsConfig = field(default_factory=lambda: AUGMENTATION)


@dataclass(frozen=True)
class SegmentationConfig:
    """Evaluation of an encoder on a column of label maps: segmentation at label fractions.

    Args:
        target: column of label maps.
        labels: shares (10%) or numbers (1, 2, 8) of the training patients that are labelled.
        unit: unit that `labels` counts: patients, each with all of its volumes, or volumes (`record`).
        repeats: number of random seeds, each with its own subsets and random weights.
        seed: random seed; repeats count up from it.
        bootstrap: number of bootstrap samples of the test patients.
        allow_transductive: test on patients that were seen in pretraining, and say so on the page.
        save_masks: write the predicted label maps of repeat 1 as NIfTI.
        segment: settings of training.
        jobs: number of processes; the result is the same for any number.
    """

    target: str
    labels: list[str] = field(default_factory=lambda: ["1", "2", "8"])
    unit: Literal["patient", "record"] = "patient"
    repeats: int = 5
    seed: int = 0
    bootstrap: int = 1000
    allow_transductive: bool = False
    save_masks: bool = False
    segment: SegmentConfig = field(default_factory=SegmentConfig)
    jobs: int = -1
