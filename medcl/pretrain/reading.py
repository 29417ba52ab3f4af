"""Recipes from YAML or nested mappings: every default filled in, or the setting that is wrong by its name."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from medcl.errors import UsageError, did_you_mean
from medcl.modality import WINGS, wing
from medcl.modality.base import Wing
from medcl.modality.own_config import OwnViewsConfig, is_own
from medcl.networks.config import ForeignEncoderConfig, is_foreign
from medcl.spelling import not_a_choice, plain, settings_of, unknown

if TYPE_CHECKING:
    from medcl.pretrain.objectives.base import ObjectiveConfig
from medcl.pretrain.recipe import GROUPS, ROOTS, InputConfig, Recipe, StageConfig, _lists

T = TypeVar("T")


def read(content: Mapping[str, Any]) -> Recipe:
    """A recipe from nested mappings, every default filled in.

    Args:
        content: of a YAML file, with what overrides it.

    Raises:
        UsageError: a setting is unknown or invalid, or something is missing; names it and the nearest valid one.
    """
    for name in content:
        if name not in ROOTS:
            raise UsageError(unknown("setting", str(name), ROOTS))
    inputs = _mapping(content.get("inputs"), "inputs", "{image: {modality: image}}")
    objectives = _mapping(content.get("objectives"), "objectives", "{pair: {kind: contrast, of: image}}")
    read_inputs = {name: _input(name, _mapping(value or {}, f"inputs.{name}")) for name, value in inputs.items()}
    for name, one in read_inputs.items():
        if one.like and (one.like == name or one.like not in read_inputs or read_inputs[one.like].like):
            raise UsageError(f"inputs.{name}.like: {one.like!r} is no other input with samples of its own")
    stages = content.get("stages") or ()
    if not isinstance(stages, list | tuple):
        raise UsageError("stages: a list, such as [{name: first, objectives: [pair], steps: 100}]")
    recipe = Recipe(
        inputs=read_inputs,
        objectives={
            name: _objective(name, _mapping(value, f"objectives.{name}")) for name, value in objectives.items()
        },
        stages=tuple(
            build(StageConfig, _mapping(one, f"stages.{place}"), f"stages.{place}") for place, one in enumerate(stages)
        ),
        **_scalars(content),
        **{name: build(kind, _mapping(content[name], name), name) for name, kind in GROUPS.items() if name in content},
    )
    _check_names(recipe)
    return recipe


def build(kind: type[T], values: Mapping[str, Any], where: str) -> T:
    """A dataclass from settings.

    Args:
        kind: the dataclass.
        values: its fields.
        where: name of the group in the recipe, for messages.

    Raises:
        UsageError: a field is unknown, missing or of another type.
    """
    from argparse import ArgumentError

    from jsonargparse import ArgumentParser

    known = settings_of(kind)
    for name, value in values.items():
        if name not in known:
            raise UsageError(unknown("setting", f"{where}.{name}", [f"{where}.{one}" for one in known]))
        if value is None and not _takes_none(kind, name):
            raise UsageError(f"{where}.{name} holds no settings: give it some, or leave it out for the defaults")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, "settings")
    try:
        made: Any = parser.instantiate(parser.parse_object({"settings": _lists(dict(values))}))
    except (ArgumentError, TypeError, ValueError) as error:
        raise UsageError(plain(str(error)).replace("settings.", f"{where}.").replace("'settings'", where)) from error
    return cast(T, made.settings)


def merge(content: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings with others in their place; a value that is no mapping replaces the whole."""
    merged = dict(content)
    for name, value in changes.items():
        before = merged.get(name)
        both = isinstance(value, Mapping) and isinstance(before, Mapping)
        merged[name] = merge(before, value) if both else value  # type: ignore[arg-type]
    return merged


def nested(dotted: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted names as nested mappings."""
    found: dict[str, Any] = {}
    for name, value in dotted.items():
        *groups, last = name.split(".")
        inner = found
        for group in groups:
            inner = inner.setdefault(group, {})
        inner[last] = value
    return found


def _input(name: str, values: Mapping[str, Any]) -> InputConfig:
    where = f"inputs.{name}"
    modality = values.get("modality", name)
    if modality not in WINGS:
        raise UsageError(f"{where}.modality: {not_a_choice(modality, WINGS)}")
    own = wing(modality)
    groups = {"data": own.config, "views": own.views_config, "encoder": own.encoder_config}
    rest = {one: value for one, value in values.items() if one not in (*groups, "more_views", "modality")}
    for one in rest:
        if one not in settings_of(InputConfig):
            raise UsageError(
                unknown("setting", f"{where}.{one}", [f"{where}.{each}" for each in settings_of(InputConfig)])
            )
    for one in (*groups, "more_views"):
        if one in values and values[one] is None:
            raise UsageError(f"{where}.{one} holds no settings: give it some, or leave it out for the defaults")
    given = {one: _mapping(values.get(one, {}), f"{where}.{one}") for one in (*groups, "more_views")}
    data = build(own.config, given["data"], f"{where}.data")
    default = own.default_encoder(data)
    encoder = _encoder(own, default, given["encoder"], f"{where}.encoder")
    views = _views(own, given["views"], f"{where}.views")
    more = {
        one: _views(own, _mapping(value or {}, f"{where}.more_views.{one}"), f"{where}.more_views.{one}")
        for one, value in given["more_views"].items()
    }
    shell = build(_Rest, rest, where)
    return InputConfig(
        modality, data, views, encoder, more, **{one.name: getattr(shell, one.name) for one in fields(shell)}
    )


def _encoder(own: Wing, default: Any, given: Mapping[str, Any], where: str) -> Any:
    """The configuration of an encoder of the wing, or of one of the user's own."""
    if not is_foreign(given):
        return replace(default, **_given(own.encoder_config, given, where))
    if not own.takes_arrays:
        raise UsageError(
            f"{where}.name: {given['name']}: {own.plural} are no arrays of numbers, which a network of your own takes; "
            "name the folder of a transformers model"
        )
    if "dim" not in given:
        raise UsageError(f"{where}.dim: {given['name']}: state the width of the embedding that the network returns")
    return build(ForeignEncoderConfig, {"dims": getattr(default, "dims", 0), **given}, where)


def _views(own: Wing, given: Mapping[str, Any], where: str) -> Any:
    """The configuration of views of the wing, or of those of the user's own."""
    if not is_own(given):
        return build(own.views_config, given, where)
    if not own.takes_arrays:
        raise UsageError(f"{where}: {own.plural} are no arrays of numbers, which views of your own change")
    return build(OwnViewsConfig, given, where)


def _given(kind: type, values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The fields of a dataclass that are given, of their types."""
    built: Any = build(kind, values, where)
    return {name: getattr(built, name) for name in values}


@dataclass(frozen=True)
class _Rest:
    """The settings of an input that do not depend on its modality."""

    init: str = ""
    rename: dict[str, str] = field(default_factory=dict)
    adapt: bool = False
    locked: bool = False
    reports: Literal["all", "record", "study"] = "all"
    like: str = ""


def _objective(name: str, values: Mapping[str, Any]) -> "ObjectiveConfig":
    # Torch comes with it: help is shown without.
    from medcl.pretrain.objectives import objective_class

    kind = values.get("kind", "contrast")
    made: ObjectiveConfig = build(objective_class(str(kind)).Config, {**values, "kind": kind}, f"objectives.{name}")
    return made


def _scalars(content: Mapping[str, Any]) -> dict[str, Any]:
    @dataclass(frozen=True)
    class Scalars:
        seed: int = 0
        splits: tuple[str, ...] = ("train",)
        method: str = ""
        source: str = ""

    given = {one.name: content[one.name] for one in fields(Scalars) if one.name in content}
    return {name: getattr(build(Scalars, given, "recipe"), name) for name in given}


def _check_names(recipe: Recipe) -> None:
    for place, stage in enumerate(recipe.stages):
        for name in stage.objectives:
            if name not in recipe.objectives:
                raise UsageError(f"stages.{place}.objectives: {not_a_choice(name, recipe.objectives)}")
        for part in stage.freeze:
            if part.partition(".")[0] not in recipe.inputs:
                raise UsageError(f"stages.{place}.freeze: {not_a_choice(part.partition('.')[0], recipe.inputs)}")
    for name, objective in recipe.objectives.items():
        for one in objective.inputs:
            if one not in recipe.inputs:
                raise UsageError(f"objectives.{name}: input {not_a_choice(one, recipe.inputs)}")
    used = {one for objective in recipe.objectives.values() for one in objective.inputs}
    for name in recipe.inputs:
        if name not in used:
            raise UsageError(f"inputs.{name}: no objective uses it{did_you_mean(name, used)}; leave it out")


def _mapping(value: Any, where: str, example: str = "") -> Mapping[str, Any]:
    if isinstance(value, Mapping) and (value or not example):
        return value
    told = ": takes settings by name" if value else " holds no settings: give it some"
    raise UsageError(f"{where}{told}{f', such as {example}' if example else ', or leave it out for the defaults'}")


def _takes_none(kind: type, name: str) -> bool:
    default = next((one.default for one in fields(kind) if one.name == name), ...)
    return default is None
