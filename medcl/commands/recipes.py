"""Recipes on the command line and in Python: a file, the name of a shipped one, and settings that override it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml

from medcl import documents, files
from medcl.commands.arguments import ManifestSource, PathSource, Result, manifest_and_store
from medcl.commands.next_step import path_of
from medcl.documents import read_yaml
from medcl.errors import MedclError, UsageError
from medcl.spelling import not_a_choice

if TYPE_CHECKING:
    from medcl.pretrain.recipe import Recipe


def recipe(
    source: "Path | str | Mapping[str, Any] | Recipe | None", settings: Mapping[str, Any] | None = None
) -> "Recipe":
    """A whole recipe, every default filled in.

    Args:
        source: a YAML file, the name of a shipped one, nested mappings, or a recipe that is read already.
        settings: that count more than those of the source, by dotted names or as nested mappings.

    Raises:
        UsageError: there is no such recipe, or it holds an unknown setting or an invalid value.
    """
    from medcl.pretrain import reading
    from medcl.pretrain import recipe as schema

    if isinstance(source, schema.Recipe):
        changed = documents.merge(schema.as_settings(source), documents.nested(settings or {}))
        return reading.read(changed) if settings else source
    path = None if source is None or isinstance(source, Mapping) else documents.find("recipe", source)
    content = _content(path) if path else dict(source or {})  # type: ignore[arg-type]
    return _read(content, settings or {}, f"recipe {path}: " if path else "")


def _read(content: Mapping[str, Any], settings: Mapping[str, Any], where: str) -> "Recipe":
    from medcl.pretrain import reading
    from medcl.pretrain import recipe as schema
    from medcl.pretrain.version_0_1 import KEPT, converted, is_old

    changes = documents.nested(settings)
    if not content and not changes:
        names = ", ".join(documents.shipped("recipe"))
        raise UsageError(f"a recipe is needed: a YAML file, or the name of a shipped one ({names})")
    try:
        if is_old(content):
            # Settings of such a recipe may be named as it names them.
            own = {name: value for name, value in changes.items() if name not in schema.ROOTS or name in KEPT}
            built = reading.read(converted(documents.merge(content, own)))
            changes = {name: value for name, value in changes.items() if name not in own}
        else:
            built = reading.read(content)
    except UsageError as error:
        raise UsageError(f"{where}{error}") from error
    if not changes:
        return built
    for name in settings:
        group, *rest = name.split(".")
        known = getattr(built, group) if group in ("inputs", "objectives") else {}
        if len(rest) > 1 and rest[0] not in known and known:
            raise UsageError(f"{group}: {not_a_choice(rest[0], known)}; `--{group}.{rest[0]} {{...}}` adds one")
    return reading.read(documents.merge(schema.as_settings(built), _in_full(changes, built)))


def full_name(name: str, recipe: "Recipe") -> str:
    """The dotted name of a setting with the short names of inputs in full.

    `encoder.dim` is of the only input, `image.data` is `inputs.image.data`.
    """
    from medcl.pretrain import recipe as schema

    first = name.partition(".")[0]
    if first in recipe.inputs and first not in schema.ROOTS:
        return f"inputs.{name}"
    if first in ("data", "views", "encoder") and len(recipe.inputs) == 1:
        return f"inputs.{next(iter(recipe.inputs))}.{name}"
    return name


def _in_full(changes: Mapping[str, Any], recipe: "Recipe") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in changes.items():
        found = documents.merge(found, documents.nested({full_name(name, recipe): value}))
    return found


def _content(path: Path) -> dict[str, Any]:
    content = read_yaml(path, "recipe")
    if not isinstance(content, dict) or not content:
        raise UsageError(f"recipe {path}: holds no settings, such as `inputs` and `objectives`")
    return content


def recipes(
    action: Literal["list", "show", "copy", "check"] = "list",
    recipe: Annotated[PathSource | None, "RECIPE", "placed"] = None,
    *,
    manifest: ManifestSource | None = None,
    output: PathSource | None = None,
) -> "Result[Any]":
    """List the shipped recipes; show one with every default filled in, copy it, or hold it against a manifest.

    Args:
        action: `list`; `show`, complete; `copy` as it is written, to change it; `check` what an archive has of what it
            needs, before anything is decoded: records, levels, labels, partners, channels, the positives of a batch and
            the memory of a step.
        recipe: a YAML file, or the name of a shipped one.
        manifest: to check against, that `medcl scan` wrote.
        output: file that is written by `copy` (default: NAME.yaml here) or `show`.

    Returns:
        The recipe, or what was found of it in the archive.

    Raises:
        UsageError: there is no such recipe, or it is invalid; the file is there already.
        MedclError: what the recipe needs is not in the archive.
    """
    if action == "list":
        known = documents.shipped("recipe")
        lines = [f"{name:<28} {_first_line(path)}" for name, path in known.items()]
        return Result("\n".join(lines), lambda: known, then="medcl recipes show NAME")
    if recipe is None:
        raise UsageError(f"recipes {action}: name a recipe; `medcl recipes` lists them")
    path = documents.find("recipe", Path(recipe))
    complete = _read(_content(path), {}, f"recipe {path}: ")
    if action == "check":
        from medcl.pretrain.forecast import forecast

        if manifest is None:
            raise UsageError("recipes check: needs --manifest, which `medcl scan` writes")
        found = forecast(complete, manifest_and_store(manifest, Path())[0])
        if found.problems:
            raise MedclError(f"{path.stem} does not fit this archive\n{found}")
        then = join(["medcl", "pretrain", str(recipe), "--manifest", path_of(manifest), "-o", "runs/NAME"])
        return Result(str(found), lambda: found, then=then)
    text = complete.as_yaml() if action == "show" else path.read_text(encoding="utf-8")
    target = Path(output) if output is not None else Path(path.name) if action == "copy" else None
    if target is None:
        then = join(["medcl", "recipes", "copy", str(recipe)])
        return Result(text.rstrip(), lambda: complete, then=then, is_document=True)
    if target.exists():
        raise UsageError(f"{target}: is there already; choose another name by -o")
    files.write(target, text)
    then = join(["medcl", "pretrain", str(target), "--manifest", "MANIFEST", "-o", "runs/NAME"])
    return Result(f"recipe: {target}", lambda: complete, target, then)


def _first_line(path: Path) -> str:
    """What a recipe says of itself, in a line."""
    line = path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
    return line if len(line) <= 100 else line[:97].rstrip() + "..."


def of_words(words: Sequence[str], own: Sequence[str]) -> tuple[list[str], list[str], dict[str, Any]]:
    """Divide the words of a command into its own and those of the recipe.

    Args:
        words: of the command.
        own: its own flags.

    Returns:
        Its own words, recipes named by `--config`, and settings by dotted names.
    """
    from medcl.pretrain import recipe as schema
    from medcl.pretrain.version_0_1 import ROOTS

    roots = {*schema.ROOTS, *ROOTS}
    rest: list[str] = []
    sources: list[str] = []
    settings: dict[str, Any] = {}
    place = 0
    while place < len(words):
        flag, equals, value = words[place].partition("=")
        name = flag.removeprefix("--")
        place += 1
        is_setting = name.partition(".")[0] in roots and flag not in own
        if not flag.startswith("--") or not (is_setting or flag == "--config"):
            rest.append(words[place - 1])
            continue
        if not equals:
            if place == len(words):
                raise UsageError(f"{flag}: expects a value")
            value, place = words[place], place + 1
        if flag == "--config":
            sources.append(value)
            continue
        found = [parsed(value, flag)]
        # A recipe is never named by a number: several are a list, as `--image.data.size 32 32`.
        while _is_number(found[-1]) and place < len(words) and _is_number(more := _scalar(words[place])):
            found.append(more)
            place += 1
        settings[name] = found if len(found) > 1 else found[0]
    return rest, sources, settings


def _scalar(word: str) -> Any:
    try:
        return yaml.safe_load(word)
    except (yaml.YAMLError, RecursionError):
        return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def parsed(word: str, flag: str) -> Any:
    """The value of a word, as YAML has it."""
    try:
        return yaml.safe_load(word)
    except (yaml.YAMLError, RecursionError) as error:
        raise UsageError(f"{flag}: the value is no YAML, such as 5, true, mean, [1, 2] or {{a: 1}}") from error


def from_words(source: Any, more: Sequence[str], settings: Mapping[str, Any]) -> "Recipe":
    """The recipe of a command.

    Args:
        source: that is given by its place; None for none.
        more: those that are given by `--config`; the last counts most.
        settings: by dotted names.

    Raises:
        UsageError: there is no such recipe, or it holds an unknown setting or an invalid value.
    """
    given = [*([str(source)] if source is not None else []), *more]
    paths = [documents.find("recipe", one) for one in given]
    content: dict[str, Any] = {}
    for path in paths:
        content = documents.merge(content, _content(path))
    where = f"recipe {paths[-1]}: " if paths else ""
    try:
        return _read(content, settings, where)
    except UsageError as error:
        if not (paths and settings):
            raise
        # The recipe itself may be at fault, which is told with its name; else it is a flag.
        _read(content, {}, where)
        text = str(error).removeprefix(where)
        name = next((one for one in settings if f"'{one}'" in text), "")
        raise UsageError(text.replace(f"no setting '{name}'", f"no flag '--{name}'")) from error


def of_run(folder: Path) -> Path:
    """The recipe of a run.

    Raises:
        UsageError: the folder holds none.
    """
    from medcl import runs

    found = next((folder / name for name in runs.CONFIGS if (folder / name).is_file()), None)
    if found is None:
        raise UsageError(f"--continue {folder}: there is no such file as {runs.CONFIG} in it: name the folder of a run")
    return found
