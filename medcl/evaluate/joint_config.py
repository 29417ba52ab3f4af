"""The configuration of an evaluation of several modalities: importable without torch."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


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
