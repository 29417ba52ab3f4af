"""Texts without the words of few patients, for a tokenizer whose vocabulary is shared with a model."""

import re
import unicodedata
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UsageError

_WORD = re.compile(r"[^\W\d_]+|\d+")


def common_words(
    texts: Sequence[str], patients: NDArray[np.int64], least: int, is_name: Callable[[str], bool]
) -> list[str]:
    """Leave out words that too few patients have, and names.

    A name that de-identification missed is a word of one patient, or of few. What is left out is only not learned as a
    token: a tokenizer spells it in pieces.

    Args:
        texts: N of them.
        patients: (N,) codes; all texts of unknown patients (-1) count as of one.
        least: patients in whose texts a word has to occur; 1 keeps all but names.
        is_name: whether a word, in small letters, is a name that is known.

    Returns:
        N texts in small letters.

    Raises:
        UsageError: no patient is asked for, or no word is left.
    """
    if least < 1:
        raise UsageError(f"patients={least}: a word of the vocabulary occurs in the reports of at least 1 patient")
    texts = [unicodedata.normalize("NFC", text).lower() for text in texts]
    counts: dict[str, int] = {}
    last: dict[str, int] = {}
    # By patient, so that for each word its last patient is all that is remembered.
    for row in np.argsort(patients, kind="stable").tolist():
        patient = int(patients[row])
        for word in set(_WORD.findall(texts[row])):
            if last.get(word) != patient:
                last[word] = patient
                counts[word] = counts.get(word, 0) + 1
    kept = {word for word, count in counts.items() if count >= least and not is_name(word)}
    if not kept and counts:
        raise UsageError(
            f"no word occurs in the reports of {least} patients, so that no vocabulary can be learned: lower "
            "report.encoder.patients, or take a pretrained encoder"
        )
    return [_WORD.sub(lambda match: match[0] if match[0] in kept else " ", text) for text in texts]
