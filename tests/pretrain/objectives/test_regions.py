"""What the local loss of Chaitanya et al. looks at: where a region lies, or what it shows."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.losses.regions import local, nearby
from medcl.modality.spatial.encoders.unet import LocalHead, UNet
from medcl.networks.regions import RegionHead
from medcl.phantom import organs

SHAPE, WIDTHS, VOLUMES, PARTS = (48, 40, 16), (8, 16, 32), 8, 4


def slices() -> Tensor:
    """(volumes, slices, x, y) of the abdomen, scaled by their 99th percentile."""
    rng, found = np.random.default_rng(0), []
    for _ in range(VOLUMES):
        person, (scanner, _) = organs.draw_abdomen(rng), organs.draw_scanner(rng)
        image = organs.scan_organs(person, scanner, "axial", rng, shape=SHAPE).image
        found.append(image / np.percentile(image, 99))
    return torch.from_numpy(np.stack(found).astype(np.float32)).movedim(3, 1)


def trained(volumes: Tensor, elsewhere: bool, seed: int) -> tuple[float, float, float]:
    """The loss of two views of a slice; of regions of two volumes; the share that finds its own slice, of 16."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = UNet(1, widths=WIDTHS, blocks=1)
    regions = RegionHead(WIDTHS[1], (24, 20), 3, 32)
    head = torch.nn.Sequential(LocalHead(WIDTHS[1]), regions)
    optimiser = torch.optim.Adam([*network.parameters(), *head.parameters()], lr=1e-3)
    negatives = nearby(regions.starts, 5)

    def views() -> tuple[Tensor, Tensor, Tensor]:
        at = np.tile(np.arange(PARTS), 4) * (SHAPE[2] // PARTS) + rng.integers(0, SHAPE[2] // PARTS, 16)
        x = volumes[np.repeat(rng.permutation(VOLUMES)[:4], PARTS), at][:, None].repeat(2, 1, 1, 1)
        contrast, brightness = rng.uniform((0.7, -0.3), (1.3, 0.3), (32, 2)).T.astype(np.float32)
        mean = x.mean(dim=(1, 2, 3), keepdim=True)
        changed = (x - mean) * torch.from_numpy(contrast)[:, None, None, None] + mean
        changed = (changed + torch.from_numpy(brightness)[:, None, None, None]).clamp(0, 1.5)
        first, second = head(network.decode(network.encode(changed))).chunk(2)
        return first, second, torch.from_numpy(at // (SHAPE[2] // PARTS))

    for _ in range(60):
        first, second, places = views()
        loss = local(first, second, negatives, places=places if elsewhere else None)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    with torch.no_grad():
        first, second, _ = views()
        # Of the next volume: what the two have in common is where a region lies.
        apart = local(first, second.roll(PARTS, 0), negatives)
        a, b = F.normalize(first, dim=2), F.normalize(second, dim=2)
        found = torch.einsum("nrd,mrd->rnm", a, b).argmax(dim=2) == torch.arange(16)
        return float(local(first, second, negatives)), float(apart), float(found.float().mean())


@pytest.mark.acceptance
def test_position_alone_solves_the_local_loss_and_negatives_of_other_places_make_it_look_at_the_content() -> None:
    volumes = slices()
    paper, elsewhere = (np.mean([trained(volumes, one, seed) for seed in range(3)], axis=0) for one in (False, True))
    # Trained as published the loss is near 0, and far below chance where the positive is of another patient.
    assert paper[0] < 0.1
    assert paper[1] < 1.0 < np.log(11)
    # With negatives of other partitions a region of another patient is no positive, and regions find their own slice.
    assert elsewhere[1] > 2.0
    assert elsewhere[2] > paper[2] + 0.1
