"""Reports that say the opposite by one word: another side, a finding denied, another severity, size, change or organ.

One word takes the place of another, and none is left out: what tells the two texts apart is what they mean, and not how
long they are. (CE-CLIP, Zhang et al., CVPR 2024, and DeGLA exchange words in this way, by language models.)
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from medcl.modality.report.text import sentences

_GERMAN = ("", "e", "er", "es", "en", "em")
_WORDS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "side": (
        *(("left", "right"), ("left-sided", "right-sided"), ("leftward", "rightward")),
        *(("LBBB", "RBBB"), ("Linkstyp", "Rechtstyp"), ("Linksschenkelblock", "Rechtsschenkelblock")),
        *((f"link{end}", f"recht{end}") for end in (*_GERMAN[1:], "s")),
        *((f"linksseitig{end}", f"rechtsseitig{end}") for end in _GERMAN),
    ),
    "severity": (
        *(("mild", "severe"), ("mildly", "severely"), ("slight", "marked"), ("slightly", "markedly")),
        *(("minimal", "extensive"), ("minimally", "extensively"), ("minor", "major"), ("subtle", "massive")),
        *((f"leicht{end}", f"schwer{end}") for end in _GERMAN),
        *((f"gering{end}", f"ausgeprägt{end}") for end in _GERMAN),
        *((f"geringgradig{end}", f"hochgradig{end}") for end in _GERMAN),
        *((f"diskret{end}", f"massiv{end}") for end in _GERMAN),
    ),
    "size": (
        *(("small", "large"), ("tiny", "huge"), ("narrow", "wide"), ("short", "long"), ("thin", "thick")),
        *((f"klein{end}", f"groß{end}") for end in _GERMAN),
        *((f"schmal{end}", f"breit{end}") for end in _GERMAN),
    ),
    "change": (
        *(("increased", "decreased"), ("increasing", "decreasing"), ("increase", "decrease"), ("larger", "smaller")),
        *(("improved", "worsened"), ("improving", "worsening"), ("improvement", "worsening"), ("better", "worse")),
        *(("unchanged", "increased"), ("stable", "progressive"), ("progression", "regression"), ("new", "old")),
        *(("zugenommen", "abgenommen"), ("Zunahme", "Abnahme"), ("größer", "kleiner"), ("neu", "alt")),
        *((f"zunehmend{end}", f"abnehmend{end}") for end in _GERMAN),
        *((f"unverändert{end}", f"zunehmend{end}") for end in _GERMAN),
        *(("Progress", "Regress"), ("progredient", "regredient")),
    ),
    "organ": (
        *(("lung", "liver"), ("lungs", "kidneys"), ("kidney", "spleen"), ("brain", "spine"), ("heart", "stomach")),
        *(("upper", "lower"), ("frontal", "occipital"), ("temporal", "parietal"), ("cervical", "lumbar")),
        *(("anterior", "inferior"), ("atrial", "ventricular"), ("apical", "basal"), ("femur", "humerus")),
        *(("Lunge", "Leber"), ("Niere", "Milz"), ("Herz", "Magen"), ("Oberlappen", "Unterlappen")),
        *(("Vorderwand", "Hinterwand"), ("Vorhof", "Ventrikel"), ("Oberbauch", "Unterbauch")),
    ),
}
_NEGATED = (
    (r"no(?= evidence\b)", "clear"),
    # Not the number of `No. 3`.
    (r"no(?!\.\s*\d)", "some"),
    (r"without", "with"),
    (r"absent", "present"),
    (r"absence", "presence"),
    (r"negative(?= for\b)", "positive"),
    (r"not", "clearly"),
    (r"(k)(ein(?:e|en|er|em|es)?)", r"\2"),
    (r"ohne", "mit"),
    (r"nicht", "deutlich"),
)
_ASSERTED = (
    (r"(?<=there is )an?", "no"),
    (r"(?<=there are )some", "no"),
    (r"(?<=evidence of )an?", "no"),
    (r"(?<=shows )an?", "no"),
    (r"present", "absent"),
    (r"presence", "absence"),
    (r"positive(?= for\b)", "negative"),
    (r"^an?(?= )", "no"),
    (r"(?<=zeigt sich )(ein(?:e|en|er)?)", r"k\1"),
    (r"^(ein(?:e|en|er)?)(?= )", r"k\1"),
)
Rule = tuple[re.Pattern[str], Callable[[re.Match[str]], str]]


def _exchanged(pairs: Iterable[tuple[str, str]]) -> list[Rule]:
    """Each word for the other; of words in several pairs the first pair counts."""
    other: dict[str, str] = {}
    for one, two in pairs:
        other.setdefault(one.lower(), two)
        other.setdefault(two.lower(), one)
    longest = sorted(other, key=len, reverse=True)
    pattern = re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, longest))})(?![\w-])", re.IGNORECASE)
    return [(pattern, lambda match: other[match.group().lower()])]


def _replaced(pairs: Iterable[tuple[str, str]]) -> list[Rule]:
    return [
        (re.compile(rf"(?<![\w-])(?:{old})(?![\w-])", re.IGNORECASE), partial(_expanded, new)) for old, new in pairs
    ]


def _expanded(new: str, match: re.Match[str]) -> str:
    return match.expand(new).lower()


_RULES: dict[str, list[Rule]] = {
    "side": _exchanged(_WORDS["side"]),
    "negation": [*_replaced(_NEGATED), *_replaced(_ASSERTED)],
    "severity": _exchanged(_WORDS["severity"]),
    "size": _exchanged(_WORDS["size"]),
    "change": _exchanged(_WORDS["change"]),
    "organ": _exchanged(_WORDS["organ"]),
}
SWAPS = tuple(_RULES)
"""What can be exchanged."""


def swapped(text: str, kind: str) -> str | None:
    """A text with one word exchanged, so that it says something else.

    English and German words are known. The first sentence counts in which the exchange changes what is said: not
    `left and right lung`, whose order says nothing. A word keeps its capital.

    Args:
        text: of a report, or of a part of one.
        kind: of `SWAPS`.

    Returns:
        The text, the white space of the sentence that was changed made single spaces; None where no word is known.

    Examples:
        >>> swapped("Small left pleural effusion. No pneumothorax.", "side")
        'Small right pleural effusion. No pneumothorax.'
        >>> swapped("Small left pleural effusion. No pneumothorax.", "negation")
        'Small left pleural effusion. Some pneumothorax.'
        >>> swapped("Kein Pleuraerguss links.", "severity") is None
        True
    """
    parts = sentences(text)
    for rule, new in _RULES[kind]:
        for number, sentence in enumerate(parts):
            match = rule.search(sentence)
            if match is None or _holds(sentence, new(match)):
                continue
            changed = sentence[: match.start()] + _cased(new(match), match.group()) + sentence[match.end() :]
            return " ".join([*parts[:number], changed, *parts[number + 1 :]])
    return None


def first_swapped(texts: Sequence[str], kind: str) -> tuple[str, str] | None:
    """The first text that can be changed, and what it becomes; None where none can."""
    return next(((text, new) for text in texts if (new := swapped(text, kind)) is not None), None)


def _holds(sentence: str, word: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", sentence, re.IGNORECASE) is not None


def _cased(word: str, like: str) -> str:
    """A word with a capital, or in capitals, where another one has it."""
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word[:1].upper() + word[1:] if like[:1].isupper() else word[:1].lower() + word[1:]
