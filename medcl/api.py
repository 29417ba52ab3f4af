"""The commands as functions: `medcl.scan(...)` is `medcl scan`."""

from collections.abc import Callable
from typing import Any

from medcl.commands.archive import phantom, scan, split
from medcl.commands.arguments import Result
from medcl.commands.condensing import condense
from medcl.commands.differing import differences
from medcl.commands.distilling import distill
from medcl.commands.embeddings import embed, explore
from medcl.commands.evaluation import compare, evaluate, finetune
from medcl.commands.export import export
from medcl.commands.prediction import predict
from medcl.commands.recipes import recipes
from medcl.commands.reduction import reduce
from medcl.commands.retrieval import retrieve
from medcl.commands.training import prepare, pretrain
from medcl.commands.tuning import tune

__all__ = [
    "phantom",
    "scan",
    "split",
    "reduce",
    "condense",
    "recipes",
    "prepare",
    "pretrain",
    "distill",
    "tune",
    "finetune",
    "predict",
    "compare",
    "evaluate",
    "retrieve",
    "differences",
    "embed",
    "explore",
    "export",
]
COMMANDS: dict[str, Callable[..., Result[Any]]] = {name: globals()[name] for name in __all__}
"""Name of a command -> its function, in the order in which they are used."""
