"""The text of a report: its sections and sentences, the one form in which it is kept, and what is drawn from it."""

import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from medcl.errors import UsageError
from medcl.modality.report.config import TextConfig
from medcl.modality.report.wording import ABBREVIATIONS, BEFORE_ORDINALS, HEADINGS, LETTERED, MONTHS, STARTERS, TITLES

_KNOWN = "|".join(sorted((re.escape(heading).replace(r"\ ", r"[ \t]+") for heading in HEADINGS), key=len, reverse=True))
# A heading that is known may stand after a sentence; any other in capitals only where a line begins: `LUNGS: clear`.
_HEADING = re.compile(
    rf"""
    (?: ^[ \t]* | (?<=[.!?])[ \t]+ )
    (?P<known> {_KNOWN} ) (?: \(S\) )? [ \t]* :
    | ^[ \t]* (?P<alone> [^\W\d_][^\n:.]{{1,60}} ) [ \t]* : [ \t]* $
    | ^[ \t]* (?P<capitals> [^\W\d_][^\n:.]{{3,60}} ) [ \t]* : (?! [ \t]* [\d<>=] )
    | ^[ \t]* (?P<bare> {_KNOWN} ) [ \t]* $
    """,
    re.MULTILINE | re.VERBOSE | re.IGNORECASE,
)
_ITEM = re.compile(r"(?:\d{1,2}[.)]|[-*•‣–—>])[ \t]+(?=\S)")
_END = re.compile(
    r"""
    (?<![.!?]) (?P<mark> [.!?]++ ) ["'”’»)\]]*+ (?: \s+ | (?<=[^\W\d_]{3}\.) (?=[A-ZÄÖÜ][a-zäöü]) ) | [。！？]
    """,
    re.VERBOSE,
)
_LAST_WORD = re.compile(r"[^\s(\[\"'„“«,;:/]+$")
_NEAR = 80  # characters
_MOST_DOTTED = 4  # letters between the dots of an abbreviation such as `St.p.`


def sections(text: str) -> dict[str, str]:
    """Divide a report by its headings.

    A heading ends with a colon and is one that reports use (`Findings`, `IMPRESSION`, `Befund`; where a line begins or
    after a sentence), or stands in capitals where a line begins. A known one in capitals may also stand alone in its
    line without a colon.

    Returns:
        Heading in upper case -> body, in the order of the text; what stands before the first heading is under ''.
        Indentation is dropped and so are sections without a body; the bodies of a heading that occurs twice are joined.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    found: dict[str, str] = {}
    heading, start = "", 0
    for match in _HEADING.finditer(text):
        name = _heading_of(match)
        if name is None:
            continue
        _append(found, heading, text[start : match.start()])
        heading, start = name, match.end()
    _append(found, heading, text[start:])
    return found


def canonical(sections: Mapping[str, str]) -> str:
    """Write sections as the text that `sections` divides into the same ones again.

    Args:
        sections: heading -> body; '' for a body without a heading, which comes first whatever its place.

    Returns:
        `FINDINGS:` in upper case in a line of its own, then the body; an empty line between sections. Empty bodies are
        left out.
    """
    ordered = sorted(sections.items(), key=lambda item: item[0].strip() != "")
    tidy = ((" ".join(heading.upper().replace(":", " ").split()), _tidy(body)) for heading, body in ordered)
    return "\n\n".join(f"{heading}:\n{body}" if heading else body for heading, body in tidy if body)


def sentences(text: str) -> list[str]:
    """Divide text into sentences; every word of the text is in exactly one of them, in its order.

    A point ends no sentence within a number (`2.5 cm`), after an abbreviation (`Dr.`, `vs.`, `z.B.`, `approx.`), an
    initial or a German ordinal (`3. April`), nor before a small letter, except where the whole text is written small. A
    line break ends none either; an empty line, an item of a list and a heading do begin a new one. A heading stays in
    front of its first sentence, a number in front of its item.

    Returns:
        The sentences, white space within them made single spaces. Text without punctuation is one sentence.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    # `sinusrhythmus. vorhofflimmern, 2:1 Überleitung` is written small: only some machines print umlauts as capitals.
    small = re.search(r"\b[A-Z]", text) is None
    return [sentence for block in _blocks(text) for sentence in _divide(block, small)]


def text_code(text: str) -> int:
    """Number a text, so that identical ones are known.

    Args:
        text: of a report, or of a part of one, without what names a person: the number is not keyed.

    Returns:
        A non-negative int64, whatever the text's case, white space and Unicode form; -1 where there is no word. Among a
        million texts two share a number with a probability of 5e-8.
    """
    words = unicodedata.normalize("NFC", text).casefold().split()
    if not words:
        return -1
    digest = hashlib.blake2b(" ".join(words).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") & (2**63 - 1)


def spaced(text: str) -> str:
    """Text with plain spaces and hyphens in the place of those that do not break and of those that are not shown."""
    return text.replace("\xa0", " ").replace("\u202f", " ").replace("\u2011", "-").replace("\xad", "").replace("\0", "")


def _heading_of(match: re.Match[str]) -> str | None:
    """The heading that was found, or None where the letters tell that it is none."""
    name = " ".join(next(group for group in match.groups() if group is not None).split())
    if match["known"] is not None:
        return name.upper() if name[0].isupper() else None
    # Three capitals may be a lead of an ECG: `AVF: normal`.
    letters = sum(map(str.isalpha, name))
    return name if name.upper() == name and letters >= (4 if match["alone"] is None else 2) else None


def _append(found: dict[str, str], heading: str, body: str) -> None:
    body = _tidy(body)
    if body:
        found[heading] = f"{found[heading]}\n{body}" if heading in found else body


def _tidy(body: str) -> str:
    """Without indentation, trailing space and more than one empty line."""
    return re.sub(r"\n{3,}", "\n\n", "\n".join(line.strip() for line in body.splitlines())).strip()


def _blocks(text: str) -> list[str]:
    """Paragraphs, items of lists and sections, each on one line."""
    starts = {match.start() for match in _HEADING.finditer(text) if _heading_of(match) is not None}
    blocks: list[list[str]] = [[]]
    place, waits = 0, False
    for line in text.split("\n"):
        bare = line.strip()
        # A heading within a line begins a sentence anyhow; one alone in its line waits for what it is a heading of.
        if place in starts or (not waits and (not bare or _ITEM.match(bare))):
            blocks.append([])
        blocks[-1].append(line)
        waits = bare.endswith(":") or (waits and not bare)
        place += len(line) + 1
    return [joined for block in blocks if (joined := " ".join(" ".join(block).split()))]


def _divide(block: str, small: bool) -> list[str]:
    """The sentences of one line."""
    found = []
    start = 0
    for match in _END.finditer(block):
        # The words on both sides are enough, and a text of many points takes no longer for it.
        before, after = (
            block[max(start, match.start() - _NEAR) : match.start()],
            block[match.end() : match.end() + _NEAR],
        )
        if after and (match["mark"] is None or _ends(before, match["mark"], after, small)):
            found.append(block[start : match.end()].strip())
            start = match.end()
    found.append(block[start:].strip())
    return [sentence for sentence in found if sentence]


def _ends(before: str, mark: str, after: str, small: bool) -> bool:
    """Whether a sentence ends between what stands before its mark and what comes next."""
    if not small and after[0].islower():
        return False
    word = _LAST_WORD.search(before)
    if mark != "." or word is None:
        return bool(before)
    last, ahead = word.group(), before[: word.start()].split()
    following = re.match(r"\w*", after)
    return not _belongs(last, ahead[-1] if ahead else "", following.group() if following else "")


def _belongs(last: str, previous: str, following: str) -> bool:
    """Whether a point belongs to the word before it: an abbreviation, an initial, an ordinal, the number of an item.

    Args:
        last: the word before the point.
        previous: the one before that in the sentence, '' at its beginning.
        following: the one after the point.
    """
    item = last.isdigit() and (not previous or previous.endswith(":"))
    if following in STARTERS and last not in TITLES and not item:
        return False
    if last.isdigit():
        return item or following.lower() in MONTHS or previous.lower() in BEFORE_ORDINALS
    if len(last) == 1:
        return last.isalpha() and previous.lower() not in LETTERED
    if "." in last:
        return all(len(part.strip("-")) <= _MOST_DOTTED for part in last.split(".")) and last[0].isalpha()
    if last.lower() == "no":
        return following[:1].isdigit()
    if last.lower() == "min":
        return not previous[-1:].isdigit()
    return last in TITLES or (last.lower() in ABBREVIATIONS and not last.isupper())


def check(config: TextConfig) -> None:
    """Whether the settings can be meant.

    Raises:
        UsageError: they cannot.
    """
    if config.draw not in ("sentence", "section", "whole"):
        raise UsageError(f"data.draw {config.draw!r}: one of sentence, section, whole")
    if config.length < 3:
        raise UsageError(f"data.length {config.length}: at least 3 tokens, of which the first and the last are special")
    if config.words < 1:
        raise UsageError(f"data.words {config.words}: a sentence has at least 1 word")
    if any(not name.strip() for name in config.sections):
        raise UsageError("data.sections: the name of a section is not empty; leave the list empty to take all of them")


def settings(config: TextConfig) -> dict[str, Any]:
    """What of the settings changes the draws: two configurations with the same make the same of every report."""
    return {
        "draw": config.draw,
        "sections": sorted({_plain(name) for name in config.sections}),
        "length": config.length,
        "words": config.words if config.draw == "sentence" else None,
    }


def draws(text: str, config: TextConfig) -> list[str] | str:
    """Divide a report.

    Args:
        text: of the report.
        config: what a draw is, and which sections count; case and space in their names do not matter.

    Returns:
        The texts that can be drawn, in the order of the report; or the reason why there is none.
    """
    if not text.strip():
        return "empty report"
    if config.draw == "whole" and not config.sections:
        return [text.strip()]
    found = sections(text)
    if config.sections:
        wanted = {_plain(name) for name in config.sections}
        found = {name: body for name, body in found.items() if _plain(name) in wanted}
    found = {name: body for name, body in found.items() if body.strip()}
    if not found:
        asked = ", ".join(config.sections)
        return f"no text in a section {asked}" if asked else "no text but headings"
    if config.draw == "whole":
        return [canonical(found)]
    if config.draw == "section":
        return [body.strip() for body in found.values()]
    return [sentence for body in found.values() for sentence in joined(sentences(body), config.words)]


def joined(parts: Sequence[str], words: int) -> list[str]:
    """Join sentences of fewer than `words` words to the one before; the first one to the one behind it."""
    found: list[str] = []
    for part in parts:
        alone = len(found) == 1 and len(found[0].split()) < words
        if found and (alone or len(part.split()) < words):
            found[-1] = f"{found[-1]} {part}"
        else:
            found.append(part)
    return found


def _plain(name: str) -> str:
    return " ".join(name.strip().rstrip(":").casefold().split())
