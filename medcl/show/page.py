"""A page that is one file: style, charts and data inside, nothing loaded from anywhere."""

import re
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import yaml

from medcl import files

if TYPE_CHECKING:
    from jinja2 import Environment

Figure: TypeAlias = dict[str, Any]
"""A plotly figure in plain data; a colour may be a CSS variable of `page.html`, as `var(--line-0)`."""


def write(path: Path, html: str) -> None:
    """Write a page, whole or not at all; it shows patients, so that only its owner can read it."""
    files.write(path, html, private=True)


def render(template: str, figures: dict[str, Figure], **context: Any) -> str:
    """Fill a template; text is escaped, and plotly's script is part of a page with figures.

    Args:
        template: room and name (`evaluate/evaluation.html`) of a template that extends `show/page.html`.
        figures: id -> figure; the template places one with the macro `chart(id)`.
        **context: what the template names.
    """
    from plotly.offline import get_plotlyjs

    script = get_plotlyjs() if figures else ""
    return _environment().get_template(template).render(figures=figures, plotlyjs=script, **context)


@cache
def _environment() -> "Environment":
    """It keeps the templates that it has compiled."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=PackageLoader("medcl", "."),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["signs"] = _signs
    return environment


def moment(created: str) -> str:
    """A time in ISO 8601 as it is read; anything else as it is."""
    try:
        return datetime.fromisoformat(created).strftime("%Y-%m-%d %H:%M %Z").strip()
    except ValueError:
        return created


def settings(config: dict[str, Any]) -> str:
    """A configuration as YAML."""
    text: str = yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=100)
    return text


def _signs(text: str) -> str:
    """Numbers as they are set in print: a minus as wide as the digits, and an interval that no line break divides.

    A hyphen within a word, such as that of `case-7`, stays.
    """
    text = re.sub(r"(?<![\w.-])-(?=\d)", "\N{MINUS SIGN}", text)
    return re.sub(r"(\[\S+,) (\S+\])", "\\1\N{NO-BREAK SPACE}\\2", text)
