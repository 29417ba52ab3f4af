"""What the help of commands tells of recipes."""

import json
import textwrap
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass

from medcl import documents
from medcl.spelling import settings_of


def known_flags() -> Iterator[str]:
    """Flags that settings of a recipe may have been misspelt for."""
    from medcl.pretrain import recipe as schema

    for name in schema.ROOTS:
        yield f"--{name}"
    for name, kind in schema.GROUPS.items():
        yield from (f"--{name}.{one}" for one in settings_of(kind))


def summary(command: str) -> str:
    """What a recipe holds, in a screen, for `--help`."""
    from medcl.pretrain import recipe as schema

    lines = [
        "settings of a recipe, each of which is a flag too:",
        "  --inputs.NAME.(data|views|encoder).SETTING    what is encoded, how it is cut and changed, by what",
        "  --objectives.NAME.SETTING                     what is contrasted with what, by which loss; its weight",
        "  --stages '[{objectives: [NAME], steps: N}]'   what is trained one after the other",
    ]
    for group, kind in schema.GROUPS.items():
        names = ", ".join(settings_of(kind))
        lines += textwrap.wrap(f"--{group}.({names})", 110, initial_indent="  ", subsequent_indent="      ")
    lines += [
        "  --seed, --splits",
        f"`medcl {command} --help all` tells all of them with their defaults; `medcl recipes` lists, shows, copies and",
        "checks recipes.",
    ]
    return "\n".join(lines)


def everything() -> str:
    """All settings of recipes with their defaults and what they do, for `--help all`."""
    from medcl.modality import WINGS, wing
    from medcl.networks.config import ForeignEncoderConfig
    from medcl.pretrain import recipe as schema
    from medcl.pretrain.objectives import OBJECTIVES, objective_class

    groups: list[tuple[str, type]] = [("", schema.Recipe), *schema.GROUPS.items(), ("stages", schema.StageConfig)]
    groups.append(("inputs.NAME", schema.InputConfig))
    for name in WINGS:
        own = wing(name)
        kinds = {"data": own.config, "views": own.views_config, "encoder": own.encoder_config}
        groups += [(f"inputs.NAME.{group} of modality {name}", kind) for group, kind in kinds.items()]
    groups.append(("inputs.NAME.encoder, where its name is package.module:Class", ForeignEncoderConfig))
    groups += [(f"objectives.NAME of kind {name}", objective_class(name).Config) for name in OBJECTIVES]
    return "\n\n".join(_described(title, kind) for title, kind in groups)


def _described(title: str, kind: type) -> str:
    import docstring_parser

    help_of: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        told = docstring_parser.parse(base.__doc__ or "")
        help_of |= {one.arg_name: " ".join((one.description or "").split()) for one in told.params}
    lines = [f"{title or 'recipe'}: {told.short_description}"]
    for one in fields(kind):
        default = one.default if one.default_factory is MISSING else one.default_factory()
        shown = "" if default is MISSING or is_dataclass(default) else f" (default: {_as_yaml(default)})"
        text = f"{one.name}: {help_of.get(one.name, '').removesuffix('.')}{shown}"
        lines += textwrap.wrap(text, 110, initial_indent="  ", subsequent_indent="      ", break_on_hyphens=False)
    return "\n".join(lines)


def _as_yaml(default: object) -> str:
    """A default as a recipe would have it; what is empty is said in a word."""
    if default is None or isinstance(default, bool | int | float):
        return json.dumps(default)
    if isinstance(default, str):
        return default or "empty"
    return json.dumps(documents.plain(default)) if default else "empty"
