"""Recipes as version 0.1 wrote them, one schema a method, as recipes of inputs and objectives."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

from medcl.errors import UsageError
from medcl.pretrain.recipe import GROUPS
from medcl.spelling import not_a_choice, settings_of, unknown

_VOLUMES = ("global-local", "densecl", "pixpro", "hierarchy")
_JOINT = ("convirt", "multimodal", "simclr")
METHODS = ("comet", *_VOLUMES, *_JOINT)
_SIDES = ("image", "volume", "signal", "table", "report")
ROOTS = (
    *("comet", "data", "encoder", "views", "local_views", "global_local", "local", "dense", "hierarchy"),
    *(*_SIDES, "joint"),
)
"""What such a recipe holds beside what both have."""
KEPT = ("seed", "splits", "optimiser", "hardware", "batch", "method")
"""What such a recipe holds that has the same name now."""
_GROUPS = {
    "comet": ("levels", "views", "weights", "identity", "temperature", "projection"),
    "batch": ("patients", "trials", "samples", "volumes", "records", "reuse", "buffer"),
    "global_local": ("stages", "variant", "partitions", "within", "temperature", "hidden", "projection", "init"),
    "local": (
        *("blocks", "across", "region", "negatives", "projection", "temperature", "train_encoder", "weight", "steps"),
    ),
    "dense": ("weight", "temperature", "queue", "momentum", "hidden", "projection", "within", "sharpness"),
    "hierarchy": ("levels", "temperature", "hidden", "projection"),
    "joint": (
        *("loss", "weight", "temperature", "learn_temperature", "hidden", "projection", "dropout", "anchor", "local"),
        *("width", "momentum", "queue", "distillation"),
    ),
}
"""What its groups hold that are not read as they are."""
_LEVELS = ("patient", "study", "series", "volume", "slice")
_INTENSITIES = {"contrast": [0.7, 1.3], "brightness": 0.3, "clip": [0.0, 1.5]}
_CROPS = {"crop_side": [100 / 192] * 2, "crop_margin": [10 / 192, 22 / 192], **_INTENSITIES}


def is_old(content: Mapping[str, Any]) -> bool:
    """Whether a recipe is one of version 0.1."""
    return "inputs" not in content and "objectives" not in content


def converted(content: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe of either version as `medcl.pretrain.reading.read` takes it.

    Raises:
        UsageError: there is no such method, or it has no such setting.
    """
    if not is_old(content):
        return dict(content)
    _check(content)
    method = content.get("method", "comet")
    if method not in METHODS:
        raise UsageError(f"method: {not_a_choice(method, METHODS)}")
    kept = {name: content[name] for name in KEPT[:4] if name in content}
    if method == "comet":
        made = _comet(content)
    elif method in _VOLUMES:
        made = _volumes(method, content)
    else:
        made = _joint(method, content)
    return {**kept, **made, "method": method}


def _check(content: Mapping[str, Any]) -> None:
    """Refuse settings that there are not, which the conversion would pass over."""
    settings = (f"{group}.{one}" for group, kind in GROUPS.items() for one in settings_of(kind))
    known = (*KEPT, *ROOTS, "inputs", "objectives", "stages", "monitor", *settings)
    for name, value in content.items():
        if name not in known:
            raise UsageError(unknown("setting", str(name), known))
        if value is None and name not in _SIDES:
            raise UsageError(f"{name} holds no settings: give it some, or leave it out for the defaults")
        for one in _group(content, name) if name in _GROUPS else ():
            if one not in _GROUPS[name]:
                raise UsageError(unknown("setting", f"{name}.{one}", [f"{name}.{each}" for each in _GROUPS[name]]))


def _comet(content: Mapping[str, Any]) -> dict[str, Any]:
    own, encoder, batch = (_group(content, name) for name in ("comet", "encoder", "batch"))
    levels = own.get("levels", dict.fromkeys(("patient", "trial", "sample", "observation"), 0.25))
    known = ("patient", "session", "trial", "sample", "observation")
    for level, weight in levels.items():
        if level not in known:
            raise UsageError(f"comet.levels: {not_a_choice(level, known)}")
        if weight < 0:
            raise UsageError("comet.levels: a weight is negative")
    if not any(levels.values()):
        raise UsageError("comet.levels: no level has a weight above zero")
    apart = own.get("views") == "per-level"
    common = {"temperature": own.get("temperature", 0.1), **({"masked": False, "apart": True} if apart else {})}
    head: Any = {"hidden": int(encoder.get("dim", 320)), "dim": own.get("projection", 64)}
    if own.get("identity", "aligned") != "pooled":
        common |= {"loss": "identity", "dense": True}
        head = {"dim": 0}
    objectives = _by_level("signal", {level: levels.get(level) for level in known[:3]}, common, head)
    for one in objectives.values():
        one["head"] = head if "loss" in common else one["head"]
        one["weight"] = 1.0 if own.get("weights") == "released-code" else one["weight"]
    within = {level: levels[level] for level in known[3:] if levels.get(level)}
    if within:
        objectives["within"] = {"kind": "hierarchical", "of": "signal", "levels": within, "apart": apart}
    sizes = _numbers(batch, patients=("patients", 32), records=("trials", 2), samples=("samples", 2))
    return {"inputs": {"signal": _side(content)}, "objectives": objectives, "batch": sizes}


def _by_level(of: str, levels: Mapping[str, Any], common: Mapping[str, Any], head: Any) -> dict[str, Any]:
    """One objective for each level that has a weight; the first one has the head of all."""
    made: dict[str, Any] = {}
    for level, weight in levels.items():
        if weight:
            own = {"kind": "contrast", "of": of, "positives": level, "weight": weight}
            made[level] = {**own, **common, "head": next(iter(made), head)}
    return made


def _volumes(method: str, content: Mapping[str, Any]) -> dict[str, Any]:
    batch, dense = _group(content, "batch"), _group(content, "dense")
    sizes = {"patients": ("patients", 5), "records": ("volumes", 1), "samples": ("samples", 4)}
    made: dict[str, Any] = {"batch": _numbers(batch, **sizes, reuse=("reuse", 1), buffer=("buffer", 8))}
    volume = {**_side(content), "views": {**_CROPS, **_group(content, "views")}}
    volume["encoder"] = {"dims": 2, **(volume.get("encoder") or {})}
    made["inputs"] = {"volume": volume}
    if method == "global-local":
        return made | _global_local(content, volume)
    if method == "hierarchy":
        own = _group(content, "hierarchy")
        levels = own.get("levels", dict.fromkeys(("patient", "study", "series", "slice"), 0.25))
        if unknown := set(levels) - set(_LEVELS):
            raise UsageError(f"hierarchy.levels: {', '.join(unknown)} is no level")
        head = {"hidden": own.get("hidden", 256), "dim": own.get("projection", 128)}
        weights = {level: levels.get(level) for level in _LEVELS}
        return made | {"objectives": _by_level("volume", weights, {"temperature": own.get("temperature", 0.1)}, head)}
    own_settings = {"densecl": ("temperature", "queue"), "pixpro": ("within", "sharpness")}[method]
    objective = {"kind": method, "of": "volume"} | _picked(dense, *own_settings, "momentum", "hidden", "projection")
    if method == "densecl" and "weight" in dense:
        objective["share"] = dense["weight"]
    return made | {"objectives": {method: objective}}


def _global_local(content: Mapping[str, Any], volume: dict[str, Any]) -> dict[str, Any]:
    own, local = _group(content, "global_local"), _group(content, "local")
    stages, parts = own.get("stages", "global-local"), own.get("partitions", 4)
    losses = ["global", "local"] if stages in ("global-local", "joint") else [stages]
    objectives: dict[str, Any] = {}
    unet = volume["encoder"].get("name", "unet") == "unet"
    if "global" in losses:
        variant = own.get("variant", "partition-positives")
        one: dict[str, Any] = {"kind": "contrast", "of": "volume", "temperature": own.get("temperature", 0.1)}
        one["head"] = {"hidden": own.get("hidden", 1024), "dim": own.get("projection", 128), "map": True}
        if variant == "positional":
            one |= {"positives": "position", "width": own.get("within", 0.35)}
        if variant.startswith("partition"):
            one |= {"parts": parts, "settings": {"denominator": "own"}, "original": True}
        if variant == "partition-negatives":
            one["exclude"] = ["partition"]
        if variant == "partition-positives":
            one |= {"positives": "partition", "copies": 1}
        objectives["global"] = one
    trains_encoder = local.get("train_encoder", False)
    if "local" in losses:
        volume["more_views"] = {"local": {**_INTENSITIES, **_group(content, "local_views")}}
        one = {"kind": "regions", "of": "volume", "views": "local", "parts": parts}
        one |= _picked(local, "blocks", "across", "region", "negatives", "projection", "temperature")
        one["train_encoder"] = trains_encoder or not unet
        objectives["local"] = one | (_picked(local, "weight") if stages == "joint" else {})
    volume |= {"init": own["init"]} if own.get("init") else {}
    freeze = ["volume.network.encoder"] if unet and not trains_encoder else []
    second = {"name": "local", "objectives": ["local"], "steps": local.get("steps", 1000), "freeze": freeze}
    first = [{"name": "global", "objectives": ["global"]}] if stages == "global-local" else []
    staged = {"stages": [*first, second]} if stages in ("global-local", "local") else {}
    return {**staged, "objectives": objectives}


def _joint(method: str, content: Mapping[str, Any]) -> dict[str, Any]:
    own, batch = _group(content, "joint"), _group(content, "batch")
    inputs = {side: {"modality": side, **_group(content, side)} for side in _SIDES if content.get(side) is not None}
    if "volume" in inputs:
        inputs["volume"]["encoder"] = {"dims": 3, **(inputs["volume"].get("encoder") or {})}
    kinds = list(inputs)
    sizes: dict[str, Any] = _numbers(batch, patients=("patients", 32), records=("records", 1))
    made: dict[str, Any] = {"inputs": inputs, "batch": sizes}
    common = _numbers(own, temperature=("temperature", 0.1), learn_temperature=("learn_temperature", False))
    common |= {"kind": "contrast", "exclude": ["patient"]}
    head = _numbers(own, hidden=("hidden", 128), dim=("projection", 128), dropout=("dropout", 0.0))
    if method == "simclr":
        if len(kinds) != 1:
            raise UsageError(f"method simclr takes one of image, volume, signal, table; the recipe has {len(kinds)}")
        return {**made, "objectives": {"global": {**common, "of": kinds[0], "head": head}}}
    if len(kinds) < 2 or (method == "convirt" and len(kinds) > 2):
        count = "two" if method == "convirt" else "two or more"
        raise UsageError(f"method {method} takes {count} of image, volume, signal, report; the recipe has {len(kinds)}")
    loss = own.get("loss", "clip")
    sizes["incomplete"] = method == "multimodal" and loss in ("anchored", "symile")
    if method == "multimodal" and loss == "symile":
        one = {**common, "between": kinds, "loss": "symile", "head": head, "exclude": []}
        return {**made, "objectives": {"joint": one}}
    return {**made, "objectives": _pairs(method, own, kinds, common, head)}


def _pairs(
    method: str, own: Mapping[str, Any], kinds: list[str], common: dict[str, Any], head: dict[str, Any]
) -> dict[str, Any]:
    loss, anchor = own.get("loss", "clip"), own.get("anchor", "report")
    pairs = list(combinations(kinds, 2))
    if loss == "anchored" and method == "multimodal":
        pairs = [pair for pair in pairs if anchor in pair]
        if not pairs:
            raise UsageError(f"joint.anchor: {not_a_choice(anchor, kinds)}")
    objectives: dict[str, Any] = {}
    weight = own.get("weight", 0.75)
    for pair in pairs:
        one = {**common, "between": list(pair), "head": next(iter(objectives), head)}
        if own.get("queue", 0) or own.get("distillation", 0.0):
            one |= {"kind": "momentum-distillation", "distillation": own.get("distillation", 0.0), "share": weight}
            one["negatives"] = _numbers(own, queue=("queue", 0), momentum=("momentum", 0.995))
        else:
            one |= {"loss": "siglip"} if loss == "siglip" else {"settings": {"weight": weight}}
        objectives["global" if method == "convirt" else "-".join(pair)] = one
    local: dict[str, Any] = {}
    for pair in pairs:
        if own.get("local", 0.0) and pair[1] == "report":
            one = {**common, "between": list(pair), "learn_temperature": False, "dense": True, "weight": own["local"]}
            one |= {"similarity": "gloria", "similarity_settings": {"over": "mean"}}
            one["head"] = next(iter(local), {"hidden": 0, "dim": own.get("width", 64)})
            local["local" if method == "convirt" else f"{pair[0]}-{pair[1]}-local"] = one
    return objectives | local


def _side(content: Mapping[str, Any]) -> dict[str, Any]:
    return {name: content[name] for name in ("data", "views", "encoder") if content.get(name) is not None}


def _picked(group: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """What a group holds of some names."""
    return {name: group[name] for name in names if name in group}


def _numbers(group: Mapping[str, Any], **names: tuple[str, Any]) -> dict[str, Any]:
    """Settings by their new names, of the old ones or by default."""
    return {new: group.get(old, default) for new, (old, default) in names.items()}


def _group(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = content.get(name)
    if value is not None and not isinstance(value, Mapping):
        raise UsageError(f"{name}: takes settings by name")
    return value or {}
