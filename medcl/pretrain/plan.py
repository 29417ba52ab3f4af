"""A recipe with the records that it is trained on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from torch import nn

from medcl.archive.manifest import Manifest
from medcl.engine.fabric import Fabric
from medcl.modality.sampling import Batch
from medcl.modality.spec import Card, JointCard
from medcl.networks.captioner import Captioner
from medcl.networks.multimodal import MultimodalEncoder
from medcl.pretrain import continual
from medcl.pretrain.batches import Source, made_of, source
from medcl.pretrain.common_space import side_names, widths
from medcl.pretrain.held_out import HeldOut, held_out
from medcl.pretrain.informative import check_views
from medcl.pretrain.initialise import initialise
from medcl.pretrain.inputs import Made, in_splits, made_inputs
from medcl.pretrain.lookups import Columns, Lookups
from medcl.pretrain.model import Model, adapted, loss_name
from medcl.pretrain.recipe import InputConfig, Recipe, StageConfig


@dataclass(frozen=True)
class Plan:
    """A recipe with the records that it is trained on.

    Args:
        recipe: completed by what the archive says.
        made: its inputs.
        source: of batches.
        lookups: what objectives look up in the manifest.
        salt: fingerprint of the salt of the patients' codes.
        shared: whether several processes train.
        held: what is looked at and not trained on, if anything is.
    """

    recipe: Recipe
    made: Mapping[str, Made]
    source: Source
    lookups: Lookups
    salt: str
    shared: bool
    held: HeldOut | None

    @classmethod
    def of(cls, recipe: Recipe, manifest: Manifest | Mapping[str, Any], store: Path, *, shared: bool = False) -> "Plan":
        """Prepare records and say what is trained.

        Raises:
            UsageError: the archive, or the samples, do not have what the recipe needs.
            MedclError: no records of an input, or none that belong together.
        """
        recipe = continual.begun(recipe)
        if isinstance(manifest, Manifest):
            # The whole archive is prepared, whatever is trained on: the evaluation finds the same store again.
            manifest = continual.later(recipe, manifest.ok())
            columns: Columns = in_splits(manifest, recipe.splits)
            made = made_inputs(recipe, manifest, store)
            batches, salt = source(recipe, made, cast(Manifest, columns)), str(manifest.metadata["salt"])
        else:
            made, batches, columns = made_of(recipe, manifest)
            salt = "samples-in-memory"
        last = recipe.trained[-1]
        inputs: dict[str, InputConfig] = {
            name: replace(one.config, encoder=adapted(recipe, last, name), like=recipe.inputs[name].like)
            for name, one in made.items()
        }
        lookups = Lookups(recipe, columns, batches.id_names)
        held = held_out(recipe, made, manifest, batches.patients) if isinstance(manifest, Manifest) else None
        return cls(replace(recipe, inputs=inputs), made, batches, lookups, salt, shared, held)

    def card(self, kept: nn.Module) -> Card:
        """What the encoder expects that is kept, and what it is built of."""
        cards = {name: one.spec(self.recipe.inputs[name].encoder) for name, one in self.made.items()}
        if len(cards) == 1:
            return cast(Card, next(iter(cards.values())))
        names = side_names(self.recipe)
        decoders = cast(MultimodalEncoder, kept).captioners.items()
        captioners = {name: cast(Captioner, one).config for name, one in decoders}
        sides = {names[name]: card for name, card in cards.items()}
        return JointCard(sides, *widths(self.recipe), captioners=captioners)

    def model(self, stage: StageConfig, before: Model | None, *, told: bool = True) -> Model:
        """What a stage trains, from the weights of the stage before.

        Args:
            stage: which.
            before: what the stage before trained; None begins with new weights, or those of `init`.
            told: whether what was found in files of weights is printed.
        """
        source = self.source
        made = Model(self.recipe, stage, self.made, self.lookups, source.id_names, source.patients, shared=self.shared)
        if before is not None:
            made.take_over(before)
        else:
            encoders = dict(made.encoders.items())
            initialise(encoders, self.recipe, self.source.patients, self.salt, told=told)
            continual.take_up(self.recipe, made.objectives)
            made.begin()
        if self.recipe.batch.pool > 1:
            check_views(made)
        return made

    def weights(self, stage: StageConfig, done: float) -> dict[str, float]:
        """The weights of the losses when a share of the stage's steps is done."""
        found: dict[str, float] = {}
        for name in stage.objectives:
            objective = self.recipe.objectives[name]
            weight = objective.weight_at(done)
            if weight > 0:
                found |= {loss_name(name, one): weight * share for one, share in objective.losses.items()}
        return found

    def losses(self) -> tuple[str, ...]:
        """Names of the losses of all stages."""
        every = (name for stage in self.recipe.trained for name in stage.objectives)
        return tuple(
            dict.fromkeys(loss_name(name, one) for name in every for one in self.recipe.objectives[name].losses)
        )

    def batches(self, number: int, stage: StageConfig, fabric: Fabric, start: int, stop: int) -> Iterable[Batch]:
        """Those of some steps of a stage."""
        partitions = max(self.recipe.objectives[name].partitions for name in stage.objectives)
        workers, rank, world = self.recipe.hardware.workers, fabric.global_rank, fabric.world_size
        return self.source.batches(partitions, self.recipe.seed + number, start, stop, workers, rank, world)
