"""What an encoder of reports has to beat: which words they have, weighted by how rare the words are."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from medcl.errors import MedclError
from medcl.modality.baselines import Baseline, Floats, State
from medcl.modality.report.config import TextConfig
from medcl.modality.report.samples import Reports
from medcl.modality.rows import Ints
from medcl.modality.sampling import SampleSet

TERMS = 5000
"""At most."""
LEAST = 2
"""Reports that a term has to occur in, where any does in so many."""
_HASHES = 1 << 20
_REPORTS = 2048  # at a time


@dataclass(frozen=True)
class TfIdf:
    """Words and pairs of words of a report's whole text, in small letters, each weighted by its rarity.

    As scikit-learn's `TfidfVectorizer(ngram_range=(1, 2), min_df=2, max_features=5000)`: counts times
    log((1 + n) / (1 + reports with the term)) + 1, of length 1. A term is kept as one of 2^20 hashes instead of its
    letters, so that what is saved has no word of a report in it, and no name that de-identification missed.
    """

    title: str = "tf-idf of words"

    def fit(self, samples: SampleSet, rows: Ints) -> State:
        """`terms` (T,) hashes, ascending, and `idf` (T,).

        Raises:
            MedclError: the reports have no word.
        """
        return learned(_texts(samples, rows))

    def transform(self, samples: SampleSet, rows: Ints, state: State) -> Floats:
        """(R, T); zeros of a report without any of the terms."""
        found, start = np.empty((len(rows), len(state["terms"]))), 0
        for texts in _texts(samples, rows):
            found[start : start + len(texts)] = weighted(texts, state)
            start += len(texts)
        return found


def learned(blocks: Iterable[Sequence[str]], least: int = LEAST) -> State:
    """See `TfIdf.fit`: of texts, a block of them at a time, the terms that so many of them have at least."""
    (reports, total), number = np.zeros((2, _HASHES)), 0
    for texts in blocks:
        counts = _counts(texts)
        reports += np.bincount(counts.indices, minlength=_HASHES)
        total += np.asarray(counts.sum(axis=0)).ravel()
        number += len(texts)
    known = np.flatnonzero(reports >= min(least, reports.max()))
    if not reports.any():
        raise MedclError("tf-idf: the training reports have no word of two letters or more")
    # Of equally frequent terms the lower hash, as of terms in the order of the alphabet.
    terms = np.sort(known[np.argsort(-total[known], kind="stable")[:TERMS]])
    return {"terms": terms, "idf": np.log((1 + number) / (1 + reports[terms])) + 1}


def weighted(texts: Sequence[str], state: State) -> Floats:
    """See `TfIdf.transform`: (texts, T)."""
    found: Floats = _counts(texts)[:, state["terms"]].toarray() * state["idf"]
    length = np.linalg.norm(found, axis=1, keepdims=True)
    found /= np.where(length > 0, length, 1)
    return found


def _texts(samples: SampleSet, rows: Ints) -> Iterator[list[str]]:
    """The whole texts of reports, some at a time."""
    reports = cast(Reports, samples)
    for start in range(0, len(rows), _REPORTS):
        part = rows[start : start + _REPORTS]
        yield ["\n".join(reports.text_of(int(draw)) for draw in reports.samples_of(int(row))) for row in part]


def _counts(texts: Sequence[str]) -> Any:
    """How often each hash occurs in texts, a sparse matrix (texts, hashes) without stored zeros."""
    from sklearn.feature_extraction.text import HashingVectorizer

    hashing = HashingVectorizer(n_features=_HASHES, ngram_range=(1, 2), alternate_sign=False, norm=None)
    return hashing.transform(texts)


def baselines(config: TextConfig) -> dict[str, Baseline]:
    """See `Wing.baselines`."""
    return {"tf_idf": TfIdf()}
