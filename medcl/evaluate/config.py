"""The configurations of evaluations: importable without torch, so that the command line stays quick."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from medcl.modality.spatial.config import ImageViewsConfig


@dataclass(frozen=True)
class MultimodalEvaluateConfig:
    """Evaluation of an encoder of several modalities: retrieval, zero-shot classification, grounding, modality gap.

    Args:
        prompts: prompts for zero-shot classification (YAML file, or the name of a shipped one): classes of targets in
            words.
        split: split whose records are tested.
        text: text of a report: the `whole` report, cut at the encoder's length, or the mean of its sentences
            (`sentence`).
        swaps: ask each record to tell its report from the same with one word exchanged: side, negation, severity, size,
            change, organ (English and German words).
        boxes: table of phrases with boxes (columns record, sentence, x, y, width, height, in pixels of the file): how
            well the map of each phrase shows its boxes.
        reports: reports that count as partners: `all`; those of one `record`, such as captions; or those of a whole
            `study` or patient. The others are neither queries nor candidates.
        encoders: published sentence encoders that are measured beside runs on reports alone: folders of transformers
            models, or their hub names in the local cache.
        names: name of the arm of each run, in their order; runs of one name, such as those of several seeds, are
            repeats of one arm: its values are their means, with intervals over patients and repeats.
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
    swaps: bool = False
    boxes: Path | None = None
    reports: Literal["all", "record", "study"] = "all"
    encoders: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    ranks: tuple[int, ...] = field(default=(1, 5, 10))
    bootstrap: int = 1000
    seed: int = 0
    temperature: float = 0.1
    images: int = 3
    allow_transductive: bool = False
    jobs: int = -1


PROTOCOLS = ("probe", "knn", "finetune")


@dataclass(frozen=True)
class FinetuneConfig:
    """Full fine-tuning: an MLP head, the encoder trained too, for pretrained and random weights alike.

    Training goes on until the validation metric improves no more, so that training from scratch is not cut short.

    Args:
        steps: largest number of optimiser steps.
        batch: number of records in a step.
        windows: number of random windows (or other samples) of a label in a step; the evaluation uses all of them.
            0 is 1 of a record, and 16 of several records or where samples are pooled in another way than by their mean.
        learning_rate: learning rate of AdamW.
        weight_decay: weight decay of AdamW.
        evaluate_every: number of steps between two evaluations on the validation patients (an epoch, where that is
            longer).
        patience: number of evaluations without improvement after which training stops.
        contrast: `sc-mil` also contrasts the pooled embeddings of the items of a batch by their class, less and less
            until the last step (Juyal et al., WACV 2024), for classes alone; `ins` also trains a classifier of the
            samples by the label of their item (Qu et al., 2024), for two classes alone, and the page shows its scores.
            Both with learned pooling of a frozen encoder, too.
    """

    steps: int = 3000
    batch: int = 16
    windows: int = 0
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    evaluate_every: int = 20
    patience: int = 10
    contrast: Literal["none", "sc-mil", "ins"] = "none"


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
        semi_supervised: what is learned from the other training volumes, whose label maps are not looked at: `none`;
            `dssn`, consistency from weak to strong views and dropped features; or `css`, pseudo labels of the
            classifier and of prototypes where they agree, with a contrast of pixels (Space Engage). Both cost three to
            six times as much.
        mixup: alpha of the Beta distribution by which pairs of patches and their labels are mixed; 0 is off.
        evaluate_every: number of iterations between two evaluations on the validation patients.
        validation_volumes: number of labelled validation patients, with a volume each, by whose Dice the weights are
            chosen; 0 takes the last weights.
        overlap: overlap of neighbouring windows in the prediction of a volume that is larger than a patch, as a share;
            None is 0.5 for slices, 0.25 for cubes, of which half an overlap would take 8 times as many as fill the
            volume.
        mirror: axes of a patch along which test images are mirrored too, the logits of all combinations averaged: 0 is
            right and left of slices across y or z and of cubes. Validation does not.
        views: augmentation; axes are those of a patch, of a slice its two axes in the order of RAS+.
    """

    iterations: int = 1500
    batch: int = 16
    learning_rate: float = 1e-3
    loss: Literal["dice", "dice-ce"] = "dice"
    semi_supervised: Literal["none", "dssn", "css"] = "none"
    mixup: float = 0.0
    evaluate_every: int = 50
    validation_volumes: int = 2
    overlap: float | None = None
    mirror: tuple[int, ...] = ()
    views: ImageViewsConfig = field(default_factory=lambda: AUGMENTATION)


@dataclass(frozen=True)
class EvaluateConfig:
    """An experiment: a task, measured for every arm at label fractions, with repeats and folds.

    The arms are the runs, the same networks from random weights, simple baselines of the modality and other encoders.

    Args:
        target: column to predict: of labels, or of label maps.
        task: what is predicted; `auto` follows from the column. A column of numbers may also be a time to an event
            (`survival`, with `event`) or, for tables in time, the time of an event (`risk`, with `horizon`); classes
            may be grades (`ordinal`), in the order of the manifest.
        event: column that says whether the event of a survival task was observed, of two classes or 0 and 1.
        survival_head: head that is fine-tuned to survival: `cox`, a hazard ratio by the partial likelihood, of which
            larger batches (`finetune.batch`) are less biased; or `discrete`, the hazard in each of ten intervals.
        survival_memory: number of records of earlier batches that count in the partial likelihood of the head `cox`
            with the risks that were predicted then; fewer than there are training records, for small batches.
        horizon: time ahead within which a risk task predicts the event, in the unit of the time axis.
        labels: label fractions: shares (1%, 0.1), numbers (50), numbers of each class (5/class) or a length of
            recording (30min) of the training patients; default: 1%, 10% and 100%, of label maps 1, 2 and 8.
        labels_per_class: numbers of labelled units of each class, in addition to `labels` or in their place.
        unit: unit that a fraction counts.
        protocols: frozen encoder (`probe`: linear model, `knn`: nearest neighbours), or the encoder trained too
            (`finetune`); default: all that the task has.
        baselines: names of simple baselines that are measured beside the encoders, `all` or `none`.
        encoders: other networks that are measured, `package.module:Class` of an installed package.
        scratch: measure the same network from random weights.
        bag: level that a label belongs to, whose samples are pooled: a `record`, or all records of a `study` or a
            `patient`.
        pooling: way in which the samples of one label become one embedding: `mean`, `max`, the mean of the `top-k` of
            each feature, or learned `attention` and `gated` attention (Ilse et al., ICML 2018); or of full fine-tuning
            the mean or the maximum of the predictions of each sample (`mean-prediction`, `max-prediction`).
        top_k: number of samples of `top-k`.
        folds: number of test folds by patient, or a column whose values are left out one at a time, such as a site;
            empty: the splits of the manifest.
        repeats: number of random seeds, each with its own subsets and random weights.
        repeats_full: number of random seeds of fine-tuning with all labels, where there is only one subset; 0: as many
            as `repeats`.
        seed: random seed; repeats count up from it.
        bootstrap: number of bootstrap samples of the test patients.
        allow_transductive: test on patients that were seen in pretraining, and say so on the page.
        save_models: models that are kept for `medcl predict`: of the largest fraction the `best` by validation
            patients, `all` repeats of it, or `none`; nearest neighbours never, for they hold embeddings of patients.
        save_masks: write the predicted label maps of repeat 1 as NIfTI.
        finetune: settings of full fine-tuning.
        segment: settings of training on label maps.
        jobs: number of processes; the result is the same for any number.
        cluster: address of a Dask scheduler (tcp://...) whose workers are used.
        zero_missing: use recordings that lack some of the encoder's channels, which are 0 then; otherwise they are
            left out.
        side: name of the encoder, of a run that has several of one modality; default: the first that reads the records
            with labels.
        inputs: names of several encoders of a run; what a patient (or with `bag` a study) has of them is predicted from
            together.
        fusion: way to join several inputs: `early`, one model of their embeddings side by side, or `late`, a model of
            each, whose predictions are averaged.
        input_dropout: probability by which an input of an item is hidden in a step of fine-tuning, so that the model
            learns to do without; the last one that an item has stays.
        hidden_inputs: inputs that the test patients are measured without, as if they were missing.
    """

    target: str
    task: Literal["auto", "ordinal", "survival", "risk"] = "auto"
    event: str = ""
    survival_head: Literal["cox", "discrete"] = "cox"
    survival_memory: int = 0
    horizon: float = 0.0
    labels: list[str] = field(default_factory=list)
    labels_per_class: list[int] = field(default_factory=list)
    unit: Literal["patient", "record"] = "patient"
    protocols: list[Literal["probe", "knn", "finetune"]] = field(default_factory=list)
    baselines: list[str] = field(default_factory=lambda: ["all"])
    encoders: list[str] = field(default_factory=list)
    scratch: bool = True
    bag: Literal["record", "study", "patient"] = "record"
    pooling: Literal["mean", "max", "top-k", "attention", "gated", "mean-prediction", "max-prediction"] = "mean"
    top_k: int = 8
    folds: str = ""
    repeats: int = 5
    repeats_full: int = 0
    seed: int = 0
    bootstrap: int = 1000
    allow_transductive: bool = False
    save_models: Literal["best", "all", "none"] = "best"
    save_masks: bool = False
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)
    segment: SegmentConfig = field(default_factory=SegmentConfig)
    jobs: int = -1
    cluster: str | None = None
    zero_missing: bool = False
    side: str = ""
    inputs: list[str] = field(default_factory=list)
    fusion: Literal["early", "late"] = "early"
    input_dropout: float = 0.2
    hidden_inputs: list[str] = field(default_factory=list)

    @property
    def fractions(self) -> tuple[str, ...]:
        """The label fractions that are asked for; empty where the task decides."""
        return (*self.labels, *(f"{count}/class" for count in self.labels_per_class))
