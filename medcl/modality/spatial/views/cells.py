"""Where the cells of a dense embedding of a view lie in the image that the view was made from."""

from collections.abc import Sequence

import torch
from torch import Tensor

from medcl.modality.spatial.encoders import ImageEncoder
from medcl.modality.spatial.views.space import Geometry
from medcl.modality.views import Compose, Params


def cell_places(
    views: Compose | None, params: Params, encoder: ImageEncoder, shape: Sequence[int], batch: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Find the cells of a dense embedding of views in the images that the views were made from.

    Args:
        views: that were applied.
        params: with which.
        encoder: of the dense embedding.
        shape: of the images, in voxels.
        batch: images.
        device: where they are.

    Returns:
        Centres (batch, positions, axes), and the diagonal of a cell (batch,) at the centre of the view, in voxels.
    """
    extent = torch.tensor(shape, dtype=torch.float32, device=device)
    share = encoder.stride / extent
    axes = [(torch.arange(n, device=device) + 0.5) * one for n, one in zip(encoder.grid(shape), share, strict=True)]
    centres = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, -2)
    middle = torch.full((1, len(shape)), 0.5, device=device)
    # A cell's sides are the moves of the centre of the view by one cell along each axis.
    points = torch.cat([centres, middle, middle + torch.diag(share)]).expand(batch, -1, -1)
    for view in () if views is None else views.views:
        if isinstance(view, Geometry):
            prefix = f"{view.name}."
            own = {name.removeprefix(prefix): one for name, one in params.items() if name.startswith(prefix)}
            points = view.source(points, own, shape)
    points = points * extent
    places, corner, moved = torch.tensor_split(points, [len(centres), len(centres) + 1], dim=1)
    return places, (moved - corner).square().sum(dim=(1, 2)).sqrt()
