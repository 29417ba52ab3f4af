"""How the arms of an experiment look: the same colour and mark in every figure, legend and table."""

from dataclasses import dataclass

from medcl.evaluate.results import Results

SYMBOLS = (  # of plotly, and the letter that looks the same
    ("circle", "●"),
    ("square", "■"),
    ("triangle-up", "▲"),
    ("triangle-down", "▼"),
    ("star", "★"),
    ("cross", "✚"),
    ("hexagon", "⬢"),
    ("x", "✖"),
)
UNTRAINED = (("diamond", "◆"), ("diamond-open", "◇"), ("diamond-tall", "⬧"))
_LINES = (0, 2, 3, 4, 5, 7, 6)  # colours of the pages; `--line-1` is that of random weights
DASHES = ("solid", "dash", "dot")


@dataclass(frozen=True)
class Style:
    """Of one arm.

    Args:
        colour: a CSS variable of `show/page.html`.
        symbol: of plotly.
        glyph: the letter that looks the same.
        dash: of plotly.
    """

    colour: str
    symbol: str
    glyph: str
    dash: str = "solid"


def styles_of(results: Results) -> dict[str, Style]:
    """{arm: style}: random weights in one colour everywhere, simple baselines grey, others in colours of their own."""
    found, trained, untrained, simple = {}, 0, 0, 0
    for arm in results.arms:
        if arm.kind == "random":
            symbol = UNTRAINED[untrained % len(UNTRAINED)]
            found[arm.name] = Style("var(--line-1)", *symbol, DASHES[untrained % len(DASHES)])
            untrained += 1
        elif arm.kind == "baseline":
            found[arm.name] = Style("var(--muted)", *SYMBOLS[(simple + 5) % len(SYMBOLS)], DASHES[1 + simple % 2])
            simple += 1
        else:
            colour, symbol = _LINES[trained % len(_LINES)], SYMBOLS[trained % len(SYMBOLS)]
            found[arm.name] = Style(f"var(--line-{colour})", *symbol, DASHES[trained // len(SYMBOLS) % len(DASHES)])
            trained += 1
    return found
