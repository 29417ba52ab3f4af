"""Reports as what is drawn from them: sequences of token ids."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medcl.archive.manifest import Manifest
from medcl.data.matching import records_of
from medcl.errors import MedclError
from medcl.modality.report.config import TextConfig
from medcl.modality.report.draws import settings
from medcl.modality.report.store import ReportStore, ranges

Ints = NDArray[np.int64]


class Reports:
    """The draws from the reports of a manifest, in the order of its rows.

    Args:
        store: prepared reports.
        manifest: whose reports are wanted; it may hold records of other kinds, and fewer reports than the store.
        config: what a draw is, as the store was prepared.

    Attributes:
        rows: (R,) rows of the manifest that are reports with text, ascending.
        draw_rows: (D,) row of the manifest of each draw, ascending.
        draw_ids: (D,) number of the text of each draw: equal for texts that differ in case or white space only.

    Raises:
        MedclError: the store was prepared from other reports, or with other settings.
    """

    def __init__(self, store: ReportStore, manifest: Manifest, config: TextConfig) -> None:
        if settings(config) != store.settings:
            raise MedclError(
                f"{store.folder}: the store was prepared with other settings ({_words(store.settings)}) than those "
                f"asked for ({_words(settings(config))}): prepare the reports with these"
            )
        self.store = store
        self.config = config
        records = records_of(store, manifest, "report")
        self.rows: Ints = np.flatnonzero(records >= 0)
        own = records[self.rows]
        counts = np.zeros(len(manifest), dtype=np.int64)
        counts[self.rows] = np.diff(store.starts)[own]
        self._starts: Ints = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])
        self.draw_rows: Ints = np.repeat(np.arange(len(manifest)), counts)
        self._draws: Ints = ranges(store.starts[own], counts[self.rows])
        self.draw_ids: Ints = np.asarray(store.ids)[store.text[self._draws]]

    def __len__(self) -> int:
        """Number of draws."""
        return len(self.draw_ids)

    def draws_of(self, row: int) -> Ints:
        """Numbers of the draws from the report in a row of the manifest; none where it is no report with text."""
        return np.arange(self._starts[row], self._starts[row + 1])

    def tokens(self, draws: Ints) -> Tensor:
        """Token ids of some draws.

        Args:
            draws: (B,) numbers.

        Returns:
            (B, L) int64, 0 behind the end of each; L is the length of the longest.
        """
        return torch.from_numpy(self.store.read(self._draws[np.asarray(draws, dtype=np.int64)]))

    def text_of(self, draw: int) -> str:
        """The text of a draw."""
        return str(self.store.texts[int(self.store.text[self._draws[draw]])].as_py())


def _words(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items())
