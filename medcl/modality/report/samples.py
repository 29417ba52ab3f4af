"""Reports as what is drawn from them: sequences of token ids."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medcl.errors import MedclError, UsageError
from medcl.modality.report.config import TextConfig
from medcl.modality.report.prepare import ReportStore, TokenisedConfig, ranges
from medcl.modality.report.text import draws, settings
from medcl.modality.rows import Rows
from medcl.modality.sampling import NumberedSamples
from medcl.modality.storing import records_of

Ints = NDArray[np.int64]


class Reports(NumberedSamples):
    """The draws from the reports of a manifest, in the order of its rows.

    Args:
        store: prepared reports.
        manifest: whose reports are wanted; it may hold records of other wings, and fewer reports than the store.
        config: what a draw is, as the store was prepared.

    Attributes:
        rows: (D,) row of the manifest of each draw, ascending.
        codes: (D,) number of the text of each draw: equal for texts that differ in case or white space only.

    Raises:
        MedclError: the store was prepared from other reports, or with other settings.
    """

    def __init__(self, store: ReportStore, manifest: Rows, config: TextConfig) -> None:
        if settings(config) != store.settings:
            raise MedclError(
                f"{store.folder}: the store was prepared with other settings ({_words(store.settings)}) than those "
                f"asked for ({_words(settings(config))}): prepare the reports with these"
            )
        self.store = store
        records = records_of(store, manifest, "report")
        rows = np.flatnonzero(records >= 0)
        own = records[rows]
        counts = np.diff(store.starts)[own]
        self.rows, self.ids = np.repeat(rows, counts), {}
        self._draws: Ints = ranges(store.starts[own], counts)
        self.codes = np.asarray(store.ids)[store.text[self._draws]]

    def read(self, numbers: Ints) -> Tensor:
        """Token ids (B, L) int64, 0 behind the end of each; L is the length of the longest."""
        return torch.from_numpy(self.store.read(self._draws[numbers]))

    def text_of(self, draw: int) -> str:
        """The text of a draw."""
        return str(self.store.texts[int(self.store.text[self._draws[draw]])].as_py())


samples = Reports


def pieces(record: str, config: TokenisedConfig) -> Tensor:
    """The draws of a report's text as token ids (S, L).

    Raises:
        UsageError: it is no text, or has no word.
    """
    found = draws(record, config.text) if isinstance(record, str) else "expected the text of a report"
    if isinstance(found, str):
        raise UsageError(found)
    return torch.from_numpy(config.encode(found, config.length).astype(np.int64))


def _words(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items())
