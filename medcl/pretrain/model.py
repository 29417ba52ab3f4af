"""What one stage trains: the encoders of all inputs, and the objectives on top of them."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from medcl.contrast.core.momentum import momentum_update
from medcl.errors import UsageError
from medcl.networks.codes import Codes
from medcl.networks.embedding_cache import EmbeddingCache
from medcl.networks.heads import projecting
from medcl.networks.multimodal import MultimodalEncoder
from medcl.pretrain.common_space import side_names, spaces, widths
from medcl.pretrain.initialise import copy_weights
from medcl.pretrain.inputs import Made
from medcl.pretrain.lookups import Lookups
from medcl.pretrain.objectives import build
from medcl.pretrain.objectives.base import Objective
from medcl.pretrain.objectives.contrast import Contrast
from medcl.pretrain.objectives.fused import fused
from medcl.pretrain.passes import Seen, Step
from medcl.pretrain.recipe import Recipe, StageConfig
from medcl.pretrain.subjects import subjects_of
from medcl.pretrain.views import Drawn, Wanted, draw_views


class Model(nn.Module):
    """A batch in, the losses of all objectives out.

    Args:
        recipe: the whole.
        stage: which of its objectives are trained, and what keeps its weights.
        made: the inputs.
        lookups: what objectives look up in the manifest.
        id_names: of the ids of a batch.
        patients: codes of those who are trained on, ascending.
        shared: whether the batch is shared by all processes: their samples are contrasted with one another, and the
            views are those of one process with the whole batch.

    Raises:
        UsageError: parts of the recipe do not fit together.
    """

    def __init__(
        self,
        recipe: Recipe,
        stage: StageConfig,
        made: Mapping[str, Made],
        lookups: Lookups,
        id_names: tuple[str, ...],
        patients: NDArray[np.int64],
        *,
        shared: bool = False,
    ) -> None:
        super().__init__()
        self.recipe, self.stage, self.shared = recipe, stage, shared
        self.made, self.lookups = made, lookups
        encoders = {name: one.encoder(adapted(recipe, stage, name)) for name, one in made.items()}
        sizes = {name: one.size for name, one in made.items()}
        self.encoders = nn.ModuleDict(encoders)
        self.objectives = nn.ModuleDict(build(recipe, stage, encoders, sizes, lookups.rows, id_names))
        self.subjects = subjects_of(encoders, patients)
        self.teachers = nn.ModuleDict()
        self._follow()
        self._frozen = [
            self._part(path) for path in (*stage.freeze, *(n for n, c in recipe.inputs.items() if c.locked))
        ]
        for part in self._frozen:
            part.requires_grad_(False)
        locked = [name for name, config in recipe.inputs.items() if config.locked or name in stage.freeze]
        self.caches = {name: EmbeddingCache() for name in locked}
        if recipe.hardware.compile:
            # In place, so that weights keep their names; copies of an encoder are not compiled.
            for encoder in self.encoders.values():
                encoder.compile()
        self.train()

    def train(self, mode: bool = True) -> "Model":
        """Switch between training and evaluation; what is frozen stays in evaluation."""
        super().train(mode)
        for part in self._frozen:
            part.eval()
        return self

    def forward(
        self, batch: Mapping[str, Any], generator: torch.Generator, active: Sequence[str] = ()
    ) -> dict[str, Tensor]:
        """The losses of a batch, without their weights, by the names of `losses`.

        Args:
            batch: `x` (B, ...) or `inputs`, `ids`, `index`, and what else the wing gives.
            generator: on the CPU; draws the views.
            active: names of losses that count now; none stands for all.
        """
        names = tuple(dict.fromkeys(one.partition(".")[0] for one in active)) or tuple(self.objectives)
        losses = self.losses(self.step(batch, generator, names), names)
        # Gradients are exchanged of all weights, also of those that nothing asks for in this step.
        if self.shared:
            trained = (one.sum() * 0 for one in self.parameters() if one.requires_grad)
            idle = sum(trained, losses[next(iter(losses))].new_zeros(()))
            first = next(iter(losses))
            losses[first] = losses[first] + idle
        return losses

    def losses(self, step: Step, names: Sequence[str]) -> dict[str, Tensor]:
        """The losses of some objectives, whose views are drawn already."""
        losses: dict[str, Tensor] = {}
        for members in self._groups(names):
            objectives = [cast(Objective, self.objectives[name]) for name in members]
            together = len(objectives) > 1
            found = fused(cast(list[Contrast], objectives), step) if together else [objectives[0](step)]
            for name, own in zip(members, found, strict=True):
                losses |= {loss_name(name, one): loss for one, loss in own.items()}
        order = [loss_name(name, one) for name in names for one in self.recipe.objectives[name].losses]
        return {name: losses[name] for name in order}

    def kept(self) -> nn.Module:
        """The encoder that the run is for: of one input, or of several with what makes them comparable."""
        if len(self.made) == 1:
            return next(iter(self.encoders.values()))
        space, local = spaces(self.recipe)
        names = side_names(self.recipe)
        sides = {names[name]: encoder for name, encoder in self.encoders.items()}
        joint = MultimodalEncoder(sides, *widths(self.recipe))
        if joint.codes is not None:
            joint.codes.take(cast(Codes, self.objectives[space].codes), names)
        elif space:
            owner = cast(Contrast, self.objectives[space])
            joint.heads = nn.ModuleDict({names[name]: projecting(owner.head(name)) for name in self.encoders})
        if local:
            owner = cast(Contrast, self.objectives[local])
            joint.local = nn.ModuleDict({names[name]: owner.head(name) for name in owner.heads})
        objectives = [cast(Objective, one) for one in self.objectives.values()]
        decoders = {names[name]: one for own in objectives for name, one in own.captioners.items()}
        joint.captioners = nn.ModuleDict(decoders)
        return joint

    def take_over(self, before: "Model") -> None:
        """Begin with the weights of the stage before: of all encoders, and of the objectives that go on."""
        for name, encoder in self.encoders.items():
            copy_weights(encoder, before.encoders[name].state_dict(), f"inputs.{name}.encoder")
        for name, objective in self.objectives.items():
            if name in before.objectives:
                objective.load_state_dict(before.objectives[name].state_dict())
        self.subjects.load_state_dict(before.subjects.state_dict())
        self.begin()

    def begin(self) -> None:
        """Let the slowly following encoders begin where those that they follow are."""
        for name, teacher in self.teachers.items():
            teacher.load_state_dict(self.encoders[name].state_dict())

    def _part(self, path: str) -> nn.Module:
        name, _, inner = path.partition(".")
        try:
            return self.encoders[name].get_submodule(inner)
        except AttributeError as error:
            parts = ", ".join(one for one, _ in self.encoders[name].named_children())
            raise UsageError(
                f"stages: freeze {path}: the encoder of {name} has no such part; it has {parts}"
            ) from error

    def _follow(self) -> None:
        """One slowly following copy of each encoder that an objective looks at so."""
        momenta: dict[str, tuple[str, float]] = {}
        for name, objective in self.objectives.items():
            momentum = cast(Objective, objective).follows
            if momentum is None:
                continue
            for one in cast(Objective, objective).wanted:
                other, known = momenta.setdefault(one, (name, momentum))
                if known != momentum:
                    raise UsageError(
                        f"objectives.{other} and objectives.{name}: follow the encoder of {one} with momenta {known:g} "
                        f"and {momentum:g}; there is one following encoder an input, take one momentum"
                    )
                if one not in self.teachers:
                    self.teachers[one] = deepcopy(self.encoders[one]).requires_grad_(False)
        self._following = {one: name for one, (name, _) in momenta.items()}

    def source(self, name: str) -> str:
        """The input whose samples and views an input has: another one, which it is `like`, or its own."""
        return self.recipe.inputs[name].like or name

    def samples(self, batch: Mapping[str, Any], name: str) -> tuple[Tensor, Tensor]:
        """The samples (n, ...) of an input, and which of the batch (B,) have it."""
        source, index = self.source(name), batch["index"]
        given = batch.get("inputs") or {next(iter(self.made)): batch["x"]}
        x = given[source] if source in given else self.made[source].nothing(index.device)
        return x, batch.get("present", {}).get(source, torch.ones_like(index, dtype=torch.bool))

    def step(self, batch: Mapping[str, Any], generator: torch.Generator, names: Sequence[str] = ()) -> Step:
        """The views of a batch; what the encoders make of them is computed when it is asked for.

        Args:
            batch: as of `forward`.
            generator: on the CPU; draws the views.
            names: of the objectives that look at them; none stands for all.
        """
        names = names or tuple(self.objectives)
        group = dist.group.WORLD if self.shared else None
        ids = {**batch["ids"], "row": batch["index"], **self.lookups.of(batch)}
        if "position" in batch:
            ids["position"] = batch["position"]
        # Views of an input, and of one like it, are of one draw, of as many copies as any objective wants.
        wanted: dict[tuple[str, Any], Wanted] = {}
        blocks: dict[tuple[str, Any], int] = {}
        copies: dict[tuple[str, Any], int] = {}
        for name in names:
            for one, look in cast(Objective, self.objectives[name]).looks:
                place, key = (self.source(one), look.key), (one, look.key)
                wanted.setdefault(key, look)
                blocks[key] = max(blocks.get(key, 0), look.blocks)
                copies[place] = max(copies.get(place, 0), look.copies)
        self._move(names)
        present: dict[str, Tensor] = {}
        drawn: dict[tuple[str, Any], Drawn] = {}
        seen: dict[tuple[str, Any], Seen] = {}
        for (name, key), look in wanted.items():
            place = self.source(name), key
            x, there = self.samples(batch, name)
            present[name] = there
            if place not in drawn:
                views = self.made[place[0]].views(look.views)
                drawn[place] = draw_views(x, views, replace(look, copies=copies[place]), generator, group)
            own = ids if len(x) == len(there) else {n: value[there] for n, value in ids.items()}
            seen[name, key] = Seen(
                self.made[name].encoded(drawn[place]),
                blocks[name, key],
                self.encoders[name],
                own,
                self.recipe.hardware.chunk,
                self.caches.get(name),
                dict(self.teachers.items()).get(name),
                self.subjects[name](own["patient"]) if name in self.subjects else None,
            )
        return Step(seen, ids, present, generator, group)

    @torch.no_grad()
    def _move(self, names: Sequence[str]) -> None:
        for one, name in self._following.items():
            if name in names and self.training:
                momentum = cast(float, cast(Objective, self.objectives[name]).follows)
                momentum_update(self.encoders[one], self.teachers[one], momentum)

    def _groups(self, names: Sequence[str]) -> list[list[str]]:
        """Objectives whose losses are computed together."""
        groups: dict[Any, list[str]] = {}
        for name in names:
            objective = self.objectives[name]
            key = objective.fusion if isinstance(objective, Contrast) else None
            groups.setdefault(name if key is None else key, []).append(name)
        return list(groups.values())


def loss_name(objective: str, loss: str) -> str:
    """Name of a loss in the metrics."""
    return f"{objective}.{loss}" if loss else objective


def adapted(recipe: Recipe, stage: StageConfig, name: str) -> Any:
    """The configuration of an input's encoder, as the objectives of a stage need it."""
    encoder = recipe.inputs[name].encoder
    for one in stage.objectives:
        if name in recipe.objectives[one].inputs:
            encoder = recipe.objectives[one].adapted(name, encoder)
    return encoder
