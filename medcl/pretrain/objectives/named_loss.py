"""A loss of `medcl.contrast`, or one of the user's own, that is given by name what its parameters ask for."""

import inspect
from collections.abc import Mapping
from types import FunctionType
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor, nn

from medcl import contrast
from medcl.contrast.core.gather import Group
from medcl.contrast.losses.mochi import NegativeMixing, draw_own_mixing
from medcl.errors import UsageError
from medcl.names import resolve
from medcl.pretrain.objectives.base import named
from medcl.pretrain.passes import Step
from medcl.spelling import not_a_choice

if TYPE_CHECKING:
    from medcl.pretrain.objectives.contrast_config import ContrastConfig

BIAS = -10.0
"""Of SigLIP, where it begins."""
GIVEN = frozenset(
    (
        *("a", "b", "z1", "z2", "views", "modalities", "anchor", "others", "mixings", "pairing", "frozen", "y", "ids"),
        *("regions", "words", "mixing"),
        *("index", "present", "generator", "temperature", "similarity", "bias", "weights", "group", "block", "scale"),
    )
)
"""Names of parameters that an objective of kind `contrast` fills: two sides `a` and `b`, two views `z1` and `z2`, all
`views` (V, N, D), several `modalities`, one of them as `anchor` and the `others`, the `regions` of images and the
`words` of their reports, who is positive (`pairing`), values `y` or `ids` (N,), rows of the manifest (`index`), the
`weights` (N,) of anchors, and settings of the recipe."""
EMBEDDINGS = frozenset(("a", "z1", "views", "modalities", "anchor", "regions"))
"""Those of embeddings, of which a loss takes one at least."""


def _own_loss(path: str) -> Any:
    """A loss of the user's own, which takes embeddings: what else a file names is not called with what the file gives.

    Raises:
        UsageError: there is none, or it is no loss.
    """
    found = resolve(path, "loss")
    stateful = inspect.isclass(found) and issubclass(found, nn.Module)
    called: Any = found.forward if stateful else found
    if not isinstance(called, FunctionType) or not EMBEDDINGS & set(inspect.signature(called).parameters):
        raise UsageError(
            f"loss {path!r}: is neither a function nor a torch.nn.Module of embeddings, parameters named "
            f"{named(sorted(EMBEDDINGS))}"
        )
    return found


def _own_similarity(path: str) -> Any:
    """A similarity of the user's own, or a function that says by its annotation that it makes one.

    Raises:
        UsageError: there is none, or it is no similarity.
    """
    found = resolve(path, "similarity")
    returns = getattr(found, "__annotations__", {}).get("return") if isinstance(found, FunctionType) else None
    named_so = isinstance(returns, str) and returns.rpartition(".")[2] == "Similarity"
    if not (isinstance(found, contrast.Similarity) or returns is contrast.Similarity or named_so):
        raise UsageError(
            f"similarity {path!r}: is neither a medcl.contrast.Similarity nor a function annotated to return one"
        )
    return found


class NamedLoss:
    """A loss that takes by the names of its parameters what it needs.

    Raises:
        UsageError: there is no such loss or similarity, or it does not take what the objective gives.
    """

    def __init__(self, config: "ContrastConfig", where: str) -> None:
        name = config.loss_name
        if ":" not in name and name not in contrast.LOSSES:
            raise UsageError(f"{where}.loss: {not_a_choice(name, contrast.LOSSES)}")
        function: Any = _own_loss(name) if ":" in name else contrast.LOSSES[name]
        self.function, self.has_state = function, inspect.isclass(function)
        called = function.forward if self.has_state else function
        self.parameters = dict(inspect.signature(called).parameters)
        self.takes_group = "group" in self.parameters or any(
            one.kind is inspect.Parameter.VAR_KEYWORD for one in self.parameters.values()
        )
        needed = [one.name for one in self.parameters.values() if one.default is inspect.Parameter.empty]
        own = inspect.signature(function).parameters.keys() - GIVEN
        for one in config.settings:
            if one not in own:
                raise UsageError(f"{where}.settings: the loss {name} has no {not_a_choice(one, own)}")
        missing = [one for one in needed if one not in (*GIVEN, "self", *config.settings)]
        if missing:
            raise UsageError(
                f"{where}.loss: {name} takes {named(missing)}, which an objective of kind contrast has not"
            )
        self.several = next((one for one in ("modalities", "others", "views") if one in self.parameters), "")
        if (self.several in ("modalities", "others")) != (len(config.between) > 2) and not (
            self.several == "modalities" and len(config.between) == 2
        ):
            count = len(config.between) or 1
            raise UsageError(
                f"{where}: the loss {name} and {count} input{'s' if count > 1 else ''} do not fit together: it "
                f"compares {'several inputs at once' if self.several else 'two sides'}"
            )
        if "z1" in self.parameters and config.copies + config.original != 2:
            raise UsageError(f"{where}: the loss {name} takes two views of a sample, copies asks for {config.copies}")
        if ("z1" in self.parameters or self.several == "views") and not config.of:
            raise UsageError(f"{where}: the loss {name} compares views of one input (`of`), not `between`")
        if config.similarity != "cosine" and "similarity" not in self.parameters:
            raise UsageError(f"{where}: the loss {name} and the similarity {config.similarity} do not fit together")
        if "regions" in self.parameters and not (config.dense and len(config.between) == 2):
            raise UsageError(f"{where}: the loss {name} compares cells with words: two inputs (`between`), dense: true")
        if config.negatives.queue and "b" not in self.parameters:
            raise UsageError(f"{where}: the loss {name} takes no candidates from a queue (negatives.queue)")
        if "index" in self.parameters and config.columns:
            raise UsageError(
                f"{where}: the loss {name} tells samples apart by itself, without positives {config.positives!r}"
            )
        self.similarity = self._similarity(config, where)
        if config.learn_temperature and "temperature" not in self.parameters:
            raise UsageError(f"{where}: the loss {name} has no temperature to learn (learn_temperature)")

    @staticmethod
    def _similarity(config: "ContrastConfig", where: str) -> Any:
        name = config.similarity
        if ":" not in name and name not in contrast.SIMILARITIES:
            raise UsageError(f"{where}.similarity: {not_a_choice(name, contrast.SIMILARITIES)}")
        found: Any = _own_similarity(name) if ":" in name else contrast.SIMILARITIES[name]
        if isinstance(found, contrast.Similarity):
            if config.similarity_settings:
                raise UsageError(f"{where}.similarity_settings: {name} takes none")
            return found
        try:
            return found(**config.similarity_settings)
        except TypeError as error:
            raise UsageError(
                f"{where}.similarity_settings: {name} does not take {named(list(config.similarity_settings))}"
            ) from error

    def with_state(self, config: "ContrastConfig", rows: int) -> nn.Module | None:
        """The module of a loss that keeps a state, such as a temperature a record."""
        if not self.has_state:
            return None
        return cast(nn.Module, self.function(rows, temperature=config.temperature, **config.settings))

    def negative_mixing(self, anchors: Tensor, blocks: int, settings: Mapping[str, Any], step: Step) -> NegativeMixing:
        """What each anchor (blocks * n, D) is mixed with (MoCHi)."""
        given = {name: one.default for name, one in self.parameters.items()} | dict(settings)
        sizes = {name: given[name] for name in ("hardest", "synthetic", "with_query")}
        return draw_own_mixing(anchors, blocks, step.group, **sizes, generator=step.generator)

    def __call__(self, module: Any, given: Mapping[str, Any], group: Group) -> Tensor:
        """The loss of what is given by name."""
        values = {name: value for name, value in given.items() if name in self.parameters}
        if self.takes_group:
            values["group"] = group
        return cast(Tensor, module(**values))
