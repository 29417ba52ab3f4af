"""Turn reports into what the network takes, with numpy and the package `tokenizers`.

    settings = json.load(open("preprocessing.json"))
    x = preprocess(["The heart is not enlarged."], settings, "tokenizer.json")

Where `settings["sections"]` names sections, a report is a dictionary: heading -> text. De-identify reports first.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer


def preprocess(
    reports: Sequence[str | Mapping[str, str]], settings: dict[str, Any], tokenizer: str = "tokenizer.json"
) -> NDArray[np.int64]:
    """Turn reports into token ids.

    Args:
        reports: N texts, or their sections.
        settings: content of `preprocessing.json`.
        tokenizer: path of `tokenizer.json`.

    Returns:
        (N, L), 0 behind the end of each; L is the length of the longest, at most `settings["length"]`.

    Raises:
        ValueError: a report has no text in the sections that count.
    """
    inner = Tokenizer.from_file(tokenizer)
    inner.no_padding()
    inner.encode_special_tokens = True
    inner.enable_truncation(settings["length"])
    found = [encoding.ids for encoding in inner.encode_batch([_text(one, settings["sections"]) for one in reports])]
    ids = np.zeros((len(found), max(map(len, found), default=0)), dtype=np.int64)
    for row, own in enumerate(found):
        ids[row, : len(own)] = [_swapped(one, settings["padding"]) for one in own]
    return ids


def _text(report: str | Mapping[str, str], wanted: Sequence[str]) -> str:
    """The text of a report; its sections, if it has some, under their headings."""
    if isinstance(report, str):
        text = report.strip()
    else:
        named = {_plain(name) for name in wanted}
        kept = {name: body.strip() for name, body in report.items() if not named or _plain(name) in named}
        ordered = sorted(kept.items(), key=lambda item: item[0].strip() != "")
        tidy = ((" ".join(name.upper().replace(":", " ").split()), body) for name, body in ordered if body)
        text = "\n\n".join(f"{name}:\n{body}" if name else body for name, body in tidy)
    if not text or (wanted and isinstance(report, str)):
        raise ValueError(f"no text in the sections {list(wanted)}: give {{heading: text}}" if wanted else "no text")
    return text


def _plain(name: str) -> str:
    return " ".join(name.strip().rstrip(":").casefold().split())


def _swapped(token: int, padding: int) -> int:
    """The network has padding at 0: a tokenizer that has it elsewhere has the two ids exchanged."""
    return padding if token == 0 else 0 if token == padding else token
