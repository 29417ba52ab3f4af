"""The configuration of an evaluation: importable without torch, so that the command line stays quick."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Init = Literal["pretrained", "random"]


@dataclass(frozen=True)
class JointEvaluateConfig:
    """What an encoder of several modalities is asked to show.

    Args:
        prompts: YAML file of prompts for zero-shot classification.
        split: whose records are tested.
        text: what stands for a report: the `whole` of it, cut at the encoder's length, or the mean of its sentences
            (`sentence`).
        reports: which reports count as partners: `all`; those of one `record`, such as captions; or those of a whole
            `study` or patient. The others are neither queries nor candidates.
        ranks: the k of recall@k and precision@k.
        bootstrap: resamples of the patients.
        seed: of the resamples.
        temperature: of the softmax over classes.
        pictures: grounding pictures of the best and of the worst retrieved pairs, so many each.
        allow_transductive: test on patients that were seen in pretraining, and say so in the report.
        jobs: processes that prepare records.
    """

    prompts: Path | None = None
    split: str = "test"
    text: Literal["whole", "sentence"] = "whole"
    reports: Literal["all", "record", "study"] = "all"
    ranks: tuple[int, ...] = field(default=(1, 5, 10))
    bootstrap: int = 1000
    seed: int = 0
    temperature: float = 0.1
    pictures: int = 3
    allow_transductive: bool = False
    jobs: int = -1


PROTOCOLS = ("probe", "knn", "finetune", "pixels")
USUAL = PROTOCOLS[:3]


@dataclass(frozen=True)
class FinetuneConfig:
    """Full fine-tuning: an MLP head, the encoder trained too, for pretrained and random weights alike.

    Training goes on until the validation patients see no improvement any more, so that training from scratch is not
    cut short.

    Args:
        steps: of the optimiser, at most.
        batch: records a step.
        windows: random ones of a record in a step; the evaluation uses all of them.
        learning_rate: of AdamW.
        weight_decay: of AdamW.
        evaluate_every: steps between two looks at the validation patients (an epoch, where that is longer).
        patience: looks without improvement before it stops.
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
    """What an encoder is asked to show.

    Args:
        target: the label column.
        labels: label fractions, of the training patients: `1%`, `0.1`, or a count such as `50`.
        unit: what a fraction counts.
        protocols: `probe` (logistic regression on frozen embeddings), `knn`, `finetune`; `pixels` is the
            probe beside one on raw pixels (16 x 16) in the place of random weights.
        repeats: seeds; each draws its own subsets and its own random initialisation.
        repeats_full: seeds of fine-tuning with all labels, where there is only one subset; 0 means as many as
            `repeats`.
        seed: of the first repeat.
        bootstrap: resamples of the test patients.
        allow_transductive: test on patients that were seen in pretraining, and say so in the report.
        finetune: the settings of full fine-tuning.
        jobs: processes; the result is the same for any number.
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
