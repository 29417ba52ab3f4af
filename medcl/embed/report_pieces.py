"""Reports as the pieces that an encoder of texts takes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.modality.report.config import TextConfig
from medcl.modality.report.encoders.tokens import Tokenizer
from medcl.modality.report.samples import Reports
from medcl.modality.spec import TextCard

Ints = NDArray[np.int64]


class ReportPieces:
    """Reports as pieces: one, or its sentences.

    Args:
        reports: prepared ones.

    Attributes:
        rows: (W,) row of the manifest of each piece, ascending.
    """

    def __init__(self, reports: Reports) -> None:
        self.reports = reports
        self.rows: Ints = np.repeat(reports.rows, [len(reports.draws_of(row)) for row in reports.rows.tolist()])

    def windows_of(self, row: int) -> Ints:
        """Numbers of the draws of one row of its manifest."""
        return self.reports.draws_of(row)

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Any]:
        """A batch: `x` (B, L) tokens."""
        return {"x": self.reports.tokens(np.asarray(indices, dtype=np.int64))}


def reading(card: TextCard) -> tuple[Tokenizer, TextConfig]:
    """The tokenizer of an encoder of texts, and what it was trained to read."""
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in card.data.items()
    }
    return Tokenizer.from_json(card.tokenizer), TextConfig(**fields)
