"""medcl: contrastive learning on medical archives, from unlabelled recordings to encoders that need few labels."""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medcl.api import (
        compare,
        condense,
        differences,
        distill,
        embed,
        evaluate,
        explore,
        export,
        finetune,
        phantom,
        predict,
        prepare,
        pretrain,
        reduce,
        retrieve,
        scan,
        split,
        tune,
    )
    from medcl.commands.prediction import load
    from medcl.embed.embedder import Embedder
    from medcl.explore.embeddings import Embeddings

__version__ = "0.1.0"
__all__ = [
    "Embedder",
    "Embeddings",
    "__version__",
    "compare",
    "condense",
    "differences",
    "distill",
    "embed",
    "evaluate",
    "explore",
    "export",
    "finetune",
    "load",
    "phantom",
    "predict",
    "prepare",
    "recipes",
    "pretrain",
    "reduce",
    "retrieve",
    "scan",
    "split",
    "tune",
]


class _Room(ModuleType):
    """A package that is also a function: `medcl.embed(...)` beside `medcl.embed.config`."""

    def __call__(self, *words: Any, **settings: Any) -> Any:
        return self._command(*words, **settings)

    @property
    def __signature__(self) -> Any:
        from inspect import signature

        return signature(self._command)

    @property
    def _command(self) -> Any:
        from medcl.api import COMMANDS

        return COMMANDS[self.__name__.rpartition(".")[2]]


class _Package(ModuleType):
    """The package, whose rooms that have the name of a command are functions as well, whichever is imported first."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in __all__ and type(value) is ModuleType:
            value.__class__ = _Room
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    """Import what is asked for: `medcl --help` waits for none of it."""
    if name == "Embeddings":
        from medcl.explore.embeddings import Embeddings

        return Embeddings
    if name == "Embedder":
        from medcl.embed.embedder import Embedder

        return Embedder
    if name == "load":
        from medcl.commands.prediction import load

        return load
    if name in __all__:
        from importlib import import_module
        from importlib.util import find_spec

        from medcl.api import COMMANDS

        # The room of this name, where there is one: it is the same object however it was imported.
        return import_module(f"medcl.{name}") if find_spec(f"medcl.{name}") else COMMANDS[name]
    raise AttributeError(f"module 'medcl' has no attribute {name!r}")
