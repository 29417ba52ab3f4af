"""The local losses of Chaitanya et al. (NeurIPS 2020): the regions of an image, and of its like in other volumes."""

from dataclasses import dataclass
from typing import Any, ClassVar, cast

from torch import Tensor, nn

from medcl.contrast.losses.regions import local_across, nearby
from medcl.contrast.pairings.slices import partition
from medcl.errors import UsageError
from medcl.modality.spatial.encoders.unet import LocalHead
from medcl.networks.regions import RegionHead
from medcl.pretrain.objectives.base import Objective, OneViewedConfig, Parts, check_size
from medcl.pretrain.passes import Step
from medcl.pretrain.recipe import Recipe


@dataclass(frozen=True)
class RegionsConfig(OneViewedConfig):
    """Regions of an image become distinguishable, whatever its intensities: L^R and L^D of Chaitanya et al.

    Args:
        of: the input, images or volumes.
        views: name of `more_views` of the input: changes of intensities only, so that positions of two views
            correspond; empty takes its `views`.
        blocks: decoder blocks of a U-Net that are trained, counted from the bottleneck; of five, three give a map of a
            quarter of the size. Other networks have one map: their dense embedding.
        across: whether a region is also matched with that of a slice of the same partition of another volume (L^D).
        elsewhere: whether the same region of slices of other partitions is a negative too (not in the paper), which no
            position tells from the positive.
        parts: partitions of a volume, for `across` and `elsewhere`.
        region: features along each side of a region.
        negatives: nearby regions of the same image, in both views.
        projection: width of what is compared.
        temperature: of the loss.
        train_encoder: whether the loss also trains the encoder of a U-Net, beneath its decoder.
    """

    kind: str = "regions"
    blocks: int = 3
    across: bool = False
    elsewhere: bool = False
    parts: int = 4
    region: int = 3
    negatives: int = 5
    projection: int = 128
    temperature: float = 0.1
    train_encoder: bool = True
    chunks: ClassVar[bool] = False

    @property
    def partitions(self) -> int:
        """Those from which slices are drawn."""
        return self.parts if self.across or self.elsewhere else 1

    def adapted(self, name: str, encoder: Any) -> Any:
        """A U-Net with the decoder blocks that are trained."""
        return encoder.with_blocks(self.blocks) if hasattr(encoder, "with_blocks") else encoder

    def check(self, where: str, recipe: Recipe) -> None:
        """Refuse views that move voxels, and a decoder that cannot be trained."""
        super().check(where, recipe)
        own = recipe.inputs[self.of]
        views = own.more_views.get(self.views, own.views) if self.views else own.views
        if self.views and self.views not in own.more_views:
            raise UsageError(f"{where}.views: inputs.{self.of}.more_views has no {self.views!r}")
        moved = views.moving() if hasattr(views, "moving") else ()
        if moved:
            raise UsageError(
                f"{where}.views: {', '.join(moved)} would move voxels, and the regions of two views would not "
                "correspond"
            )
        if self.parts < 1:
            raise UsageError(f"{where}.parts: {self.parts} is invalid; a volume has at least one")
        if self.partitions > 1 and recipe.batch.samples % self.parts:
            raise UsageError(
                f"batch.samples: {recipe.batch.samples} slices of a volume cannot lie in the {self.parts} partitions "
                f"of {where} equally; take a multiple"
            )
        if self.across and recipe.batch.patients * recipe.batch.records < 2:
            raise UsageError("batch: positives of different volumes need at least two volumes in a batch")


class Regions(Objective):
    """See `RegionsConfig`."""

    Config = RegionsConfig
    config: RegionsConfig

    def __init__(self, config: RegionsConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        encoder = cast(Any, parts.encoders[config.of])
        own, size = encoder.config, parts.sizes[config.of][1:]
        check_size(encoder, size)
        where = f"objectives.{parts.name}"
        regions = RegionHead(own.dim, encoder.grid(size), config.region, config.projection, where)
        self.head = nn.Sequential(LocalHead(own.dim, own.dims, own.norm), regions)
        if not 0 < config.negatives < len(regions.starts):
            raise UsageError(f"{where}.negatives: {config.negatives} of {len(regions.starts) - 1} other regions")
        self.register_buffer("negatives", nearby(regions.starts, config.negatives), persistent=False)

    def forward(self, step: Step) -> dict[str, Tensor]:
        """L^R, or L^D."""
        config = self.config
        seen = step.see(config.of, self.wanted[config.of])
        first, second = self.head(seen.map(config.train_encoder)[: 2 * seen.n]).chunk(2)
        across = (seen.ids["position"], seen.ids["volume"]) if config.across else None
        return {
            "": local_across(
                first,
                second,
                self.get_buffer("negatives"),
                temperature=config.temperature,
                group=step.group,
                across=across,
                partitions=config.parts,
                places=partition(seen.ids["position"], config.parts) if config.elsewhere else None,
            )
        }
