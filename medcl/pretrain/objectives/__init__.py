"""What a run learns: one file an objective, a config dataclass and a module, found by the name of its kind."""

import importlib
from collections.abc import Mapping

from torch import nn

from medcl.errors import UsageError
from medcl.names import resolve
from medcl.pretrain.objectives.base import Objective as Objective
from medcl.pretrain.objectives.base import ObjectiveConfig as ObjectiveConfig
from medcl.pretrain.objectives.base import Parts as Parts
from medcl.pretrain.recipe import Recipe, StageConfig
from medcl.spelling import not_a_choice

OBJECTIVES = {
    "contrast": "contrast:Contrast",
    "hierarchical": "hierarchical:Hierarchical",
    "regions": "regions:Regions",
    "densecl": "densecl:DenseCL",
    "pixpro": "pixpro:PixPro",
    "slotcon": "slotcon:SlotCon",
    "swav": "swav:SwAV",
    "obow": "obow:OBoW",
    "segments": "segments:Segments",
    "matching": "matching:Matching",
    "amcl": "amcl:AMCL",
    "cell-distillation": "cell_distillation:CellDistillation",
    "momentum-distillation": "distillation:MomentumDistillation",
    "distill": "distill:Distill",
    "meru": "meru:Meru",
    "fdt": "fdt:FDT",
    "simlap": "simlap:SimLAP",
    "sepclr": "sepclr:SepCLR",
    "temporal-scl": "temporal_scl:TemporalSCL",
    "glocal-ib": "glocal_ib:GlocalIB",
    "mvcnet": "mvcnet:MVCNet",
    "conr": "conr:ConR",
    "autotcl": "autotcl:AutoTCL",
    "classify": "classify:Classify",
    "adversary": "adversary:Adversary",
    "retention": "retention:Retention",
    "prd": "prd:PRD",
    "proxies": "proxies:Proxies",
    "gml": "gml:GML",
    "laso": "laso:LaSO",
    "caption": "caption:Caption",
    "opposites": "opposites:Opposites",
    "sentences": "sentences:Sentences",
    "goal": "goal:Goal",
}
"""Kind -> module of this folder and class. A further one is a file and a line here, or `package.module:Class`."""


def objective_class(kind: str) -> type[Objective]:
    """The class of a kind of objective, or that which a dotted path names.

    Raises:
        UsageError: there is no such kind, or the path leads to no objective.
    """
    if ":" in kind:
        own: type[Objective] = resolve(kind, "objective", Objective)
        return own
    if kind not in OBJECTIVES:
        raise UsageError(f"kind of an objective: {not_a_choice(kind, OBJECTIVES)}; package.module:Class names your own")
    module, _, name = OBJECTIVES[kind].partition(":")
    found: type[Objective] = getattr(importlib.import_module(f"medcl.pretrain.objectives.{module}"), name)
    return found


def build(
    recipe: Recipe,
    stage: StageConfig,
    encoders: Mapping[str, nn.Module],
    sizes: Mapping[str, tuple[int, ...]],
    rows: int,
    id_names: tuple[str, ...],
) -> dict[str, Objective]:
    """The objectives of a stage in their order: each may share what one before it has; see `Parts`."""
    built: dict[str, Objective] = {}
    for name in stage.objectives:
        config, chunk = recipe.objectives[name], recipe.hardware.chunk
        parts = Parts(name, encoders, sizes, recipe, dict(built), stage.steps, rows, id_names, chunk)
        built[name] = objective_class(config.kind).made(config, parts)
    return built
