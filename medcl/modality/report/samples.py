"""Reports as what is drawn from them: sequences of token ids."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from medcl.errors import MedclError
from medcl.modality.report.config import TextConfig
from medcl.modality.report.prepare import ReportStore, ranges
from medcl.modality.report.text import settings
from medcl.modality.rows import Rows
from medcl.modality.sampling import Batch
from medcl.modality.storing import records_of

Ints = NDArray[np.int64]


class Reports:
    """The draws from the reports of a manifest, in the order of its rows.

    Args:
        store: prepared reports.
        manifest: whose reports are wanted; it may hold records of other wings, and fewer reports than the store.
        config: what a draw is, as the store was prepared.

    Attributes:
        rows: (D,) row of the manifest of each draw, ascending.
        codes: (D,) number of the text of each draw: equal for texts that differ in case or white space only.
        at_a_time: draws that are embedded together.

    Raises:
        MedclError: the store was prepared from other reports, or with other settings.
    """

    def __init__(self, store: ReportStore, manifest: Rows, config: TextConfig) -> None:
        if settings(config) != store.settings:
            raise MedclError(
                f"{store.folder}: the store was prepared with other settings ({_words(store.settings)}) than those "
                f"asked for ({_words(settings(config))}): prepare the reports with these"
            )
        self.store, self.at_a_time = store, 256
        records = records_of(store, manifest, "report")
        rows = np.flatnonzero(records >= 0)
        own = records[rows]
        counts = np.diff(store.starts)[own]
        self.rows: Ints = np.repeat(rows, counts)
        self._draws: Ints = ranges(store.starts[own], counts)
        self.codes: Ints = np.asarray(store.ids)[store.text[self._draws]]

    def __len__(self) -> int:
        """Number of draws."""
        return len(self.rows)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """A batch.

        Args:
            indices: (B,) numbers of draws.

        Returns:
            `x` (B, L) int64 token ids, 0 behind the end of each; L is the length of the longest. `index` (B,) rows of
            the manifest.
        """
        chosen = np.asarray(indices, dtype=np.int64)
        return {
            "x": torch.from_numpy(self.store.read(self._draws[chosen])),
            "index": torch.from_numpy(self.rows[chosen]),
        }

    def samples_of(self, row: int) -> Ints:
        """Numbers of the draws from the report in a row of the manifest; none where it is no report with text."""
        first, last = np.searchsorted(self.rows, [row, row + 1])
        return np.arange(first, last)

    def places(self, numbers: Ints) -> None:
        """None: where a text begins in its report is not known."""
        return

    def text_of(self, draw: int) -> str:
        """The text of a draw."""
        return str(self.store.texts[int(self.store.text[self._draws[draw]])].as_py())


def _words(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items())
