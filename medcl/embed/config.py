"""What is embedded and how: importable without torch, so that the command line stays quick."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class EmbedConfig:
    """How the pieces that an encoder takes become rows of a file.

    Args:
        level: unit of a row: a `window` (of a recording, slice or patch of a volume), a `record`, or a `patient`.
        pool: pooling over windows: their `mean` (of a patient: over the means of its records), or their `max`.
        half: write float16 instead of float32.
        kind: modality of the records, of a run on several modalities; default: all that it has encoders of.
        side: name of the encoder, of a run that has several of one modality; default: the first of each modality.
        split: split whose records are embedded: `train`, `val` or `test`; default: all.
        batch: number of windows at a time; changes no embedding. Default: by modality.
        jobs: number of processes that decode records; -1 is one a core.
        zero_missing: embed recordings that lack some of the encoder's channels, which are 0 then; otherwise they are
            left out, unless the encoder was trained on such recordings.
        cluster: address of a Dask scheduler, such as tcp://10.0.0.1:8786, whose workers decode records in the place of
            processes here; they see the archive and the store under the same paths.
    """

    level: Literal["window", "record", "patient"] = "record"
    pool: Literal["mean", "max"] = "mean"
    half: bool = False
    kind: Literal["image", "volume", "signal", "table", "report"] | None = None
    side: str = ""
    split: str = ""
    batch: int | None = None
    jobs: int = -1
    zero_missing: bool = False
    cluster: str | None = None
