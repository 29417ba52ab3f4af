"""What a text is: importable without torch, so that the command line stays quick."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class TextConfig:
    """How reports become token sequences.

    Args:
        draw: what one draw from a report is: a `sentence`, a `section`, or the `whole` report.
        sections: names of the sections that count, such as [FINDINGS, IMPRESSION]; empty takes all of the report.
        length: tokens of a sequence at most; what is over is cut off at the end.
        words: fewest words of a sentence that is drawn; shorter ones ("Unchanged.") are joined to the one before.
    """

    draw: Literal["sentence", "section", "whole"] = "sentence"
    sections: tuple[str, ...] = ()
    length: int = 64
    words: int = 3
