"""The results of an evaluation of several modalities, as `results.json` holds them."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medcl import files
from medcl.documents import build, plain, read_json, sealed
from medcl.errors import MedclError
from medcl.evaluate.retrieval import Retrieval
from medcl.evaluate.zero_shot import ZeroShot
from medcl.stats.embedding_space import Gap

VERSION = 1


@dataclass(frozen=True)
class Direction:
    """Retrieval of records of one modality by queries of another, or of the same.

    Args:
        query: modality of the queries.
        candidate: modality of the candidates.
        hit: what counts as a hit, in words.
        found: the measures.
        target: target whose label makes a hit; empty where records belong together otherwise.
    """

    query: str
    candidate: str
    hit: str
    found: Retrieval
    target: str = ""


@dataclass(frozen=True)
class Classified:
    """Zero-shot classification of records of one modality."""

    kind: str
    result: ZeroShot


@dataclass(frozen=True)
class Between:
    """The gap between two modalities."""

    first: str
    second: str
    gap: Gap


@dataclass(frozen=True)
class Grounded:
    """A grounding image.

    Args:
        title: `best` or `worst`.
        phrase: a phrase of the de-identified report.
        record_id: of the image: a code, or public.
        rank: of the image among all, when its whole report is the query.
        similarity: of image and report.
        low: smallest similarity of a cell with the phrase.
        high: largest.
        file: of the overlay, in the folder of the results.
    """

    title: str
    phrase: str
    record_id: str
    rank: int
    similarity: float
    low: float
    high: float
    file: str


@dataclass(frozen=True)
class MultimodalResults:
    """Everything that one `medcl evaluate` measured.

    Args:
        run: the run folder.
        method: how it was pretrained.
        split: split of the tested records.
        records: kind -> number of tested records.
        patients: kind -> number of their patients.
        retrieval: both ways between every two kinds, and within each.
        zero_shot: of each target with prompts and each kind that has labels.
        gaps: between every two kinds.
        grounding: images.
        notes: limitations that a reader has to know.
        config: the full configuration.
        reports: reports that counted as partners: `all`, `record`, `study`.
        texts: number of different texts among the tested reports; equal ones are one query and one candidate.
            0 where they were counted apart, or there are none.
        software: package -> version.
        created: when, in ISO 8601.
        version: of this schema.
    """

    run: str
    method: str
    split: str
    records: dict[str, int]
    patients: dict[str, int]
    retrieval: tuple[Direction, ...]
    zero_shot: tuple[Classified, ...]
    gaps: tuple[Between, ...]
    grounding: tuple[Grounded, ...]
    notes: tuple[str, ...]
    config: dict[str, Any]
    reports: str = "all"
    texts: int = 0
    software: dict[str, str] = field(default_factory=dict)
    created: str = ""
    version: int = VERSION

    def save(self, path: Path) -> None:
        """Write the results as JSON, whole or not at all; NaN becomes null.

        They quote phrases of reports, so that only their owner can read them.
        """
        text = json.dumps(sealed(plain(self)), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        files.write(path, text, private=True)

    @classmethod
    def load(cls, path: Path) -> "MultimodalResults":
        """Read what `save` wrote.

        Raises:
            MedclError: it cannot be read, or holds something else.
        """
        try:
            loaded: MultimodalResults = build(cls, read_json(path, "evaluate again"), "results")
        except (OSError, ValueError) as error:
            raise MedclError(f"{path}: not the results of `medcl evaluate`") from error
        return loaded
