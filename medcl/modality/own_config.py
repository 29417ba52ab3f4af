"""The configuration of views of the user's own: importable without torch, for a quick command line."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class OwnViewsConfig:
    """Views that no wing has. Either a name or transforms of MONAI.

    Args:
        name: `package.module:name`. A subclass of `medcl.modality.views.View` draws and applies on whole batches (B, C,
            ...). A function `name(x, generator, **arguments)` gets a sample at a time, (1, C, ...), with a generator on
            the CPU, from which it takes all randomness; it returns the same shape.
        arguments: by name.
        monai: array transforms in their order, such as `[{RandFlip: {prob: 0.5, spatial_axis: 0}}]`; each gets a sample
            (C, ...) and keeps its shape. Randomness is seeded from the run's.
        in_place: whether they leave every pixel and every time step in its place, which objectives ask that compare the
            same place of two views.
    """

    name: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    monai: list[dict[str, Any]] = field(default_factory=list)
    in_place: bool = False

    def moving(self) -> tuple[str, ...]:
        """What may move voxels, in words."""
        return () if self.in_place else ("views of your own without in_place: true",)


def is_own(views: Mapping[str, Any]) -> bool:
    """Whether the settings of views, as a recipe has them, are of the user's own."""
    return "name" in views or "monai" in views
