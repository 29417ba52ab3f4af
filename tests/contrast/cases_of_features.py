"""The losses that change features before they compare them, or the kernel by which they do."""

import torch
from torch import Tensor

from medcl.contrast.core.anchors import block_and_group
from medcl.contrast.core.blockwise import accurate
from medcl.contrast.losses.feature_transformation import Transformation, feature_transformation
from medcl.contrast.losses.kernel_info_nce import kernel_info_nce
from medcl.contrast.losses.multi_view import poly_view_statistics
from medcl.contrast.losses.obow import obow
from medcl.contrast.losses.w_mse import w_mse
from medcl.contrast.pairings.pairs import same
from tests.contrast.cases import Case

PARTNERS = torch.tensor([3, 0, 1, 6, 2, 4, 5])


def transformed(z1: Tensor, z2: Tensor, ids: Tensor, y: Tensor, **scale: object) -> Tensor:
    """With partners where they are known to be, among the seven samples of the batch."""
    partners = PARTNERS if len(z2) == len(PARTNERS) or scale.get("group") else torch.arange(len(z2))
    drawn = Transformation(torch.tensor(1.4), torch.tensor(0.7), partners)
    return feature_transformation(z1, z2, same(ids), transformation=drawn, **scale)  # type: ignore[arg-type]


def words(ids: Tensor, like: Tensor) -> Tensor:
    """Shares of as many words as there are features, by the id of a sample."""
    return (ids[:, None] % torch.arange(2, 2 + like.shape[1])).to(like.dtype).softmax(dim=1)


CASES = [
    Case("kernel_info_nce", lambda z1, z2, ids, y, **scale: kernel_info_nce(z1, z2, same(ids), **scale)),
    Case(
        "kernel_info_nce, halves",
        lambda z1, z2, ids, y, **scale: kernel_info_nce(
            z1, z2, same(ids), power=0.5, share=0.3, mixture="concatenated", temperature=0.5, **scale
        ),
    ),
    Case("w_mse", lambda z1, z2, ids, y, **scale: w_mse([z1, z2], **scale)),
    Case("feature_transformation", transformed, permuted=False),
    Case(
        "feature_transformation, positives alone",
        lambda z1, z2, ids, y, **scale: (
            feature_transformation(
                z1,
                z2,
                same(ids),
                transformation=Transformation(torch.tensor(1.7), torch.ones(()), torch.arange(len(PARTNERS))),
                **scale,
            )
            if len(z2) == len(PARTNERS) or scale.get("group")
            else feature_transformation(z1, z2, same(ids), extrapolate=0, interpolate=0, **scale)
        ),
    ),
    Case(
        "obow",
        lambda z1, z2, ids, y, **scale: obow(
            [accurate(z1), accurate(z2)], words(ids, accurate(z1)), group=block_and_group(**scale)[1]
        ),
        relabelled=False,
    ),
    Case(
        "poly_view_statistics",
        lambda z1, z2, ids, y, **scale: poly_view_statistics([z1, z2, accurate(z1) - accurate(z2)], **scale),
    ),
]
