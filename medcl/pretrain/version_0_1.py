"""Recipes as version 0.1 wrote them, one schema a method, as recipes of inputs and objectives."""

from collections.abc import Mapping
from typing import Any

from medcl.errors import UsageError
from medcl.pretrain.recipe import GROUPS
from medcl.spelling import not_a_choice, settings_of, unknown

_VOLUMES = ("global-local", "densecl", "pixpro", "hierarchy")
_JOINT = ("convirt", "multimodal", "simclr")
METHODS = ("comet", *_VOLUMES, *_JOINT)
ROOTS = (
    *("comet", "data", "encoder", "views", "local_views", "global_local", "local", "dense", "hierarchy"),
    *("image", "volume", "signal", "table", "report", "joint"),
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
        if value is None and name not in ROOTS[9:14]:
            raise UsageError(f"{name} holds no settings: give it some, or leave it out for the defaults")
        for one in _group(content, name) if name in _GROUPS else ():
            if one not in _GROUPS[name]:
                raise UsageError(unknown("setting", f"{name}.{one}", [f"{name}.{each}" for each in _GROUPS[name]]))


def _comet(content: Mapping[str, Any]) -> dict[str, Any]:
    own = _group(content, "comet")
    levels = own.get("levels", {"patient": 0.25, "trial": 0.25, "sample": 0.25, "observation": 0.25})
    released, apart = own.get("weights") == "released-code", own.get("views") == "per-level"
    pooled = own.get("identity", "aligned") == "pooled"
    encoder = _group(content, "encoder")
    known = ("patient", "session", "trial", "sample", "observation")
    for level, weight in levels.items():
        if level not in known:
            raise UsageError(f"comet.levels: {not_a_choice(level, known)}")
        if weight < 0:
            raise UsageError("comet.levels: a weight is negative")
    if not any(levels.values()):
        raise UsageError("comet.levels: no level has a weight above zero")
    by_id = [level for level in known[:3] if levels.get(level)]
    objectives: dict[str, Any] = {}
    for level in by_id:
        one: dict[str, Any] = {"kind": "contrast", "of": "signal", "positives": level}
        one |= {"temperature": own.get("temperature", 0.1), "weight": 1.0 if released else levels[level]}
        one |= {"masked": False, "apart": True} if apart else {}
        if not pooled:
            one |= {"loss": "identity", "dense": True, "head": {"dim": 0}}
        elif level == by_id[0]:
            one["head"] = {"hidden": int(encoder.get("dim", 320)), "dim": own.get("projection", 64)}
        else:
            one["head"] = by_id[0]
        objectives[level] = one
    within = {level: levels[level] for level in known[3:] if levels.get(level)}
    if within:
        objectives["within"] = {"kind": "hierarchical", "of": "signal", "levels": within, "apart": apart}
    batch = _group(content, "batch")
    return {
        "inputs": {"signal": _side(content)},
        "objectives": objectives,
        "batch": _numbers(batch, patients=("patients", 32), records=("trials", 2), samples=("samples", 2)),
    }


def _volumes(method: str, content: Mapping[str, Any]) -> dict[str, Any]:
    batch = _group(content, "batch")
    sizes = {"patients": ("patients", 5), "records": ("volumes", 1), "samples": ("samples", 4)}
    made: dict[str, Any] = {"batch": _numbers(batch, **sizes, reuse=("reuse", 1), buffer=("buffer", 8))}
    volume = {**_side(content), "views": {**_CROPS, **_group(content, "views")}}
    volume["encoder"] = {"dims": 2, **(volume.get("encoder") or {})}
    if method == "global-local":
        return _global_local(content, volume, made)
    dense, objective = _group(content, "dense"), {"kind": method, "of": "volume"}
    if method == "densecl":
        names = {"weight": "share", "temperature": "temperature", "queue": "queue"}
        objective |= {new: dense[old] for old, new in names.items() if old in dense}
    if method == "pixpro":
        objective |= {name: dense[name] for name in ("within", "sharpness") if name in dense}
    if method != "hierarchy":
        objective |= {name: dense[name] for name in ("momentum", "hidden", "projection") if name in dense}
        return {**made, "inputs": {"volume": volume}, "objectives": {method: objective}}
    own = _group(content, "hierarchy")
    levels = own.get("levels", {"patient": 0.25, "study": 0.25, "series": 0.25, "slice": 0.25})
    head: Any = {"hidden": own.get("hidden", 256), "dim": own.get("projection", 128)}
    objectives = {}
    for level in ("patient", "study", "series", "volume", "slice"):
        if levels.get(level):
            objectives[level] = {
                "kind": "contrast",
                "of": "volume",
                "positives": level,
                "weight": levels[level],
                "temperature": own.get("temperature", 0.1),
                "head": head,
            }
            head = level if isinstance(head, dict) else head
    if unknown := set(levels) - {"patient", "study", "series", "volume", "slice"}:
        raise UsageError(f"hierarchy.levels: {', '.join(unknown)} is no level")
    return {**made, "inputs": {"volume": volume}, "objectives": objectives}


def _global_local(content: Mapping[str, Any], volume: dict[str, Any], made: dict[str, Any]) -> dict[str, Any]:
    own, local = _group(content, "global_local"), _group(content, "local")
    stages, parts = own.get("stages", "global-local"), own.get("partitions", 4)
    losses = {"global-local": ["global", "local"], "joint": ["global", "local"]}.get(stages, [stages])
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
    if "local" in losses:
        volume["more_views"] = {"local": {**_INTENSITIES, **_group(content, "local_views")}}
        names = ("blocks", "across", "region", "negatives", "projection", "temperature")
        objectives["local"] = {
            "kind": "regions",
            "of": "volume",
            "views": "local",
            "parts": parts,
            **{name: local[name] for name in names if name in local},
            "train_encoder": local.get("train_encoder", False) or not unet,
            **({"weight": local["weight"]} if stages == "joint" and "weight" in local else {}),
        }
    volume |= {"init": own["init"]} if own.get("init") else {}
    freeze = ["volume.network.encoder"] if unet and not local.get("train_encoder", False) else []
    second = {"name": "local", "objectives": ["local"], "steps": local.get("steps", 1000), "freeze": freeze}
    if stages == "global-local":
        made["stages"] = [{"name": "global", "objectives": ["global"]}, second]
    if stages == "local":
        made["stages"] = [second]
    return {**made, "inputs": {"volume": volume}, "objectives": objectives}


def _joint(method: str, content: Mapping[str, Any]) -> dict[str, Any]:
    own = _group(content, "joint")
    inputs = {}
    for side in ROOTS[9:14]:
        if content.get(side) is not None:
            inputs[side] = {"modality": side, **_group(content, side)}
    if "volume" in inputs:
        inputs["volume"]["encoder"] = {"dims": 3, **(inputs["volume"].get("encoder") or {})}
    kinds = list(inputs)
    batch = _group(content, "batch")
    made: dict[str, Any] = {
        "inputs": inputs,
        "batch": {"patients": batch.get("patients", 32), "records": batch.get("records", 1)},
    }
    common = {
        "temperature": own.get("temperature", 0.1),
        "learn_temperature": own.get("learn_temperature", False),
        "exclude": ["patient"],
    }
    head = {
        "hidden": own.get("hidden", 128),
        "dim": own.get("projection", 128),
        "dropout": own.get("dropout", 0.0),
    }
    if method == "simclr":
        if len(kinds) != 1:
            raise UsageError(f"method simclr takes one of image, volume, signal, table; the recipe has {len(kinds)}")
        one = {"kind": "contrast", "of": kinds[0], **common, "head": head}
        return {**made, "objectives": {"global": one}}
    if len(kinds) < 2 or (method == "convirt" and len(kinds) > 2):
        count = "two" if method == "convirt" else "two or more"
        raise UsageError(f"method {method} takes {count} of image, volume, signal, report; the recipe has {len(kinds)}")
    return {**made, **_pairs(method, own, kinds, common, head, made["batch"])}


def _pairs(
    method: str,
    own: Mapping[str, Any],
    kinds: list[str],
    common: dict[str, Any],
    head: dict[str, Any],
    batch: dict[str, Any],
) -> dict[str, Any]:
    loss, anchor = own.get("loss", "clip"), own.get("anchor", "report")
    batch = {**batch, "incomplete": method == "multimodal" and loss in ("anchored", "symile")}
    if method == "multimodal" and loss == "symile":
        one = {**common, "kind": "contrast", "between": kinds, "loss": "symile", "head": head, "exclude": []}
        return {"objectives": {"joint": one}, "batch": batch}
    pairs = [(a, b) for place, a in enumerate(kinds) for b in kinds[place + 1 :]]
    if loss == "anchored" and method == "multimodal":
        pairs = [pair for pair in pairs if anchor in pair]
        if not pairs:
            raise UsageError(f"joint.anchor: {not_a_choice(anchor, kinds)}")
    objectives: dict[str, Any] = {}
    shared: Any = head
    local: Any = {"hidden": 0, "dim": own.get("width", 64)}
    keyed = own.get("queue", 0) or own.get("distillation", 0.0)
    for a, b in pairs:
        name = "global" if method == "convirt" else f"{a}-{b}"
        one = {**common, "kind": "contrast", "between": [a, b], "head": shared}
        weight = own.get("weight", 0.75)
        if keyed:
            one |= {"kind": "momentum-distillation", "distillation": own.get("distillation", 0.0)}
            one["negatives"] = {"queue": own.get("queue", 0), "momentum": own.get("momentum", 0.995)}
            one["share"] = weight
        elif loss == "siglip":
            one["loss"] = "siglip"
        else:
            one["settings"] = {"weight": weight}
        objectives[name] = one
        shared = name if isinstance(shared, dict) else shared
    for a, b in pairs:
        if own.get("local", 0.0) and b == "report":
            name = "local" if method == "convirt" else f"{a}-{b}-local"
            objectives[name] = {
                **common,
                "kind": "contrast",
                "between": [a, b],
                "learn_temperature": False,
                "dense": True,
                "similarity": "gloria",
                "similarity_settings": {"over": "mean"},
                "weight": own["local"],
                "head": local,
            }
            local = name if isinstance(local, dict) else local
    return {"objectives": objectives, "batch": batch}


def _side(content: Mapping[str, Any]) -> dict[str, Any]:
    return {name: content[name] for name in ("data", "views", "encoder") if content.get(name) is not None}


def _numbers(group: Mapping[str, Any], **names: tuple[str, int]) -> dict[str, Any]:
    """Numbers by their new names, of the old ones or by default."""
    return {new: group.get(old, default) for new, (old, default) in names.items()}


def _group(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = content.get(name)
    if value is not None and not isinstance(value, Mapping):
        raise UsageError(f"{name}: takes settings by name")
    return value or {}
