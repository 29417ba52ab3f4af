"""Recipes from YAML or nested mappings: every default filled in, or the setting that is wrong by its name."""

from collections.abc import Mapping
from dataclasses import field, fields, make_dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from medcl.errors import UsageError, did_you_mean
from medcl.modality import WINGS, wing
from medcl.modality.base import Wing
from medcl.modality.own_config import OwnViewsConfig, is_own
from medcl.networks.config import ForeignEncoderConfig, is_foreign
from medcl.pretrain.recipe import GROUPS, ROOTS, InputConfig, Recipe, StageConfig, _lists
from medcl.spelling import not_a_choice, plain, settings_of, unknown

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

    from medcl.pretrain.objectives.base import ObjectiveConfig

T = TypeVar("T")
_OF_WINGS = ("data", "views", "encoder", "more_views")
_SCALARS = ("seed", "splits", "method", "source")


def read(content: Mapping[str, Any]) -> Recipe:
    """A recipe from nested mappings, every default filled in.

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
        if one.channels and not (one.like and hasattr(one.data, "sampling_rate")):
            raise UsageError(
                f"inputs.{name}.channels: are of an input of signals that is `like` another; "
                f"otherwise set inputs.{name}.data.channels"
            )
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
        **vars(build(_part(Recipe, *_SCALARS), {one: content[one] for one in _SCALARS if one in content}, "recipe")),
        **{name: build(kind, _mapping(content.get(name, {}), name), name) for name, kind in GROUPS.items()},
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

    known = settings_of(kind)
    for name, value in values.items():
        if name not in known:
            raise UsageError(unknown("setting", f"{where}.{name}", [f"{where}.{one}" for one in known]))
        if value is None and getattr(kind, name, ...) is not None:
            raise UsageError(f"{where}.{name} holds no settings: give it some, or leave it out for the defaults")
    parser = _parser(cast(Any, kind))
    try:
        made: Any = parser.instantiate(parser.parse_object({"settings": _lists(dict(values))}))
    except (ArgumentError, TypeError, ValueError) as error:
        raise UsageError(plain(str(error)).replace("settings.", f"{where}.").replace("'settings'", where)) from error
    return cast(T, made.settings)


@cache
def _parser(kind: type) -> "ArgumentParser":
    """The parser of a dataclass: to make one takes longer than to parse with it."""
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, "settings")
    return parser


@cache
def _part(kind: type, *names: str) -> type:
    """The dataclass of some fields of another."""
    own: list[Any] = [
        (one.name, one.type, field(default=one.default, default_factory=one.default_factory))
        for one in fields(kind)
        if one.name in names
    ]
    return make_dataclass(kind.__name__, own, frozen=True)


def _input(name: str, values: Mapping[str, Any]) -> InputConfig:
    where = f"inputs.{name}"
    modality = values.get("modality", name)
    if modality not in WINGS:
        raise UsageError(f"{where}.modality: {not_a_choice(modality, WINGS)}")
    own = wing(modality)
    known = settings_of(InputConfig)
    for one in values:
        if one not in known:
            raise UsageError(unknown("setting", f"{where}.{one}", [f"{where}.{each}" for each in known]))
    given = {one: _mapping(values.get(one, {}), f"{where}.{one}") for one in _OF_WINGS}
    data = build(own.config, given["data"], f"{where}.data")
    encoder = _encoder(own, own.default_encoder(data), given["encoder"], f"{where}.encoder")
    views = _views(own, given["views"], f"{where}.views")
    more = {
        one: _views(own, _mapping(value or {}, f"{where}.more_views.{one}"), f"{where}.more_views.{one}")
        for one, value in given["more_views"].items()
    }
    rest = {one: value for one, value in values.items() if one not in (*_OF_WINGS, "modality")}
    shared: Any = build(_part(InputConfig, *(one for one in known if one not in (*_OF_WINGS, "modality"))), rest, where)
    return InputConfig(modality, data, views, encoder, more, **vars(shared))


def _encoder(own: Wing, default: Any, given: Mapping[str, Any], where: str) -> Any:
    """The configuration of an encoder of the wing, or of one of the user's own."""
    if not is_foreign(given):
        built = build(own.encoder_config, given, where)
        return replace(default, **{name: getattr(built, name) for name in given})
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


def _objective(name: str, values: Mapping[str, Any]) -> "ObjectiveConfig":
    # Torch comes with it: help is shown without.
    from medcl.pretrain.objectives import objective_class

    kind = values.get("kind", "contrast")
    made: ObjectiveConfig = build(objective_class(str(kind)).Config, {**values, "kind": kind}, f"objectives.{name}")
    return made


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
