"""Contrast from slices, continuous targets, frozen models, mixtures and temperatures."""

import torch
from torch import Tensor

from medcl.contrast.core.gather import Group
from medcl.contrast.core.momentum import MomentumQueue
from medcl.contrast.losses.clip import cwcl
from medcl.contrast.losses.conr import conr
from medcl.contrast.losses.cosent import cosent
from medcl.contrast.losses.gml import gml
from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.losses.m3col import Mixing, m3col, m3col_soft
from medcl.contrast.losses.macl import macl
from medcl.contrast.losses.opposites import opposites
from medcl.contrast.losses.sepclr import joint_entropy, sepclr, uniform
from medcl.contrast.losses.supremix import supremix
from medcl.contrast.losses.temperatures import IndividualTemperatures
from medcl.contrast.pairings.neighbours import softened
from medcl.contrast.pairings.pairs import itself, same
from medcl.contrast.pairings.slices import across_volumes, apart_from_partition, partition
from medcl.contrast.pairings.targets import kernel, magnified, near, overlap
from tests.contrast.cases import Case

QUEUE = MomentumQueue(4, 4)
QUEUE.enqueue(torch.randn(3, 4, generator=torch.Generator().manual_seed(9)), torch.tensor([4, -3, 2]))
TEMPERATURES = IndividualTemperatures(64, temperature=0.3).eval()


def views(z1: Tensor, z2: Tensor, *levels: Tensor) -> tuple[Tensor, ...]:
    return torch.cat([z1, z2]), *(level.repeat(2) for level in levels)


def g_d_minus(z1: Tensor, z2: Tensor, ids: Tensor, y: Tensor, **scale: int) -> Tensor:
    z, slices, partitions = views(z1, z2, ids, partition(y.sigmoid()))
    return info_nce(z, z, apart_from_partition(slices, partitions).without(itself(z)), denominator="own", **scale)


def g_d(z1: Tensor, z2: Tensor, ids: Tensor, y: Tensor, **scale: int) -> Tensor:
    z, slices, partitions = views(z1, z2, ids, partition(y.sigmoid()))
    second = torch.cat([torch.zeros_like(ids), torch.ones_like(ids)])
    return info_nce(z, z, across_volumes(slices, partitions, second).without(itself(z)), denominator="own", **scale)


def pcl(z1: Tensor, z2: Tensor, ids: Tensor, y: Tensor, **scale: int) -> Tensor:
    z, position = views(z1, z2, y)
    return info_nce(z, z, near(position, within=1.0).without(itself(z)), **scale)


def y_aware(z1: Tensor, z2: Tensor, ids: Tensor, y: Tensor, **scale: int) -> Tensor:
    z, targets = views(z1, z2, y)
    return info_nce(z, z, kernel(targets, bandwidth=1.5).without(itself(z)), **scale)


def magnifying(z1: Tensor, z2: Tensor, ids: Tensor, y: Tensor, **scale: int) -> Tensor:
    return info_nce(z1, z2, magnified(same(ids), y), temperature=0.3, **scale)


def regularised(z1: Tensor, z2: Tensor, ids: Tensor, y: Tensor, **scale: int) -> Tensor:
    z, targets = views(z1, z2, y)
    return conr(z, targets, torch.sin(5 * targets), weights=1 + targets.abs(), temperature=0.3, **scale)


def mixed(z1: Tensor, z2: Tensor, ids: Tensor, y: Tensor, **scale: int) -> Tensor:
    draws = torch.stack([z.detach().double().mul(7.3).frac().abs() for z in (z1, z2)])
    return supremix(z1, z2, y, beta=(2, 3), draws=draws, **scale)


def graded(z1: Tensor, z2: Tensor, ids: Tensor, y: Tensor, **scale: int) -> Tensor:
    labels = y[:, None] > torch.tensor([-1.0, 0.3, 3.1, 3.5], device=y.device)
    z, own = views(z1, z2), labels.repeat(2, 1)
    return cosent(z[0], z[0], overlap(own).without(itself(own)), **scale)


def modalities_mixed(z1: Tensor, z2: Tensor, ids: Tensor, y: Tensor, **scale: int) -> Tensor:
    mixing = Mixing(y.sigmoid(), torch.arange(len(y)).flip(0))
    return m3col([z1, z2, z1.roll(1, 1)], [mixing] * 3, **scale)


def queued(z1: Tensor, z2: Tensor, ids: Tensor, y: Tensor, **scale: int) -> Tensor:
    candidates, extended = QUEUE.extend(z2, ids)
    return info_nce(z1, candidates, same(ids, extended["id"]), **scale)


def separated(z1: Tensor, z2: Tensor, ids: Tensor, y: Tensor, **scale: int) -> Tensor:
    return sepclr([z1, z2], [z1.roll(1, 1), z2.flip(1)], y > 1, **scale)


def frozen(z1: Tensor, z2: Tensor, ids: Tensor, y: Tensor, **scale: int) -> Tensor:
    return cwcl(z1, z2, torch.stack([y, y.cos()], 1), temperature=0.3, **scale)


def opposed(z1: Tensor, z2: Tensor, ids: Tensor, y: Tensor, **scale: int) -> Tensor:
    return opposites(z1, z2, torch.stack([z2.roll(1, 1), z2.flip(1)], 1), temperature=0.3, **scale)


def taught(z1: Tensor, z2: Tensor, ids: Tensor, y: Tensor, **scale: int) -> Tensor:
    return info_nce(z1, z2, softened(z2, temperature=0.2), **scale)


def of_classes(z1: Tensor, z2: Tensor, ids: Tensor, y: Tensor, block: int | None = None, group: Group = None) -> Tensor:
    z, classes = views(z1, z2, (y > 1).long())
    return gml(z, classes, torch.tensor([5.0, 1.0]), torch.tensor([0.3, 0.5]), group=group)


CASES = [
    Case("info_nce, Chaitanya G^D-", g_d_minus),
    Case("info_nce, Chaitanya G^D", g_d, compiled=True),
    Case("info_nce, PCL", pcl, compiled=True),
    Case("info_nce, y-aware", y_aware, compiled=True),
    Case("info_nce, distance magnifying", magnifying, compiled=True),
    Case("cwcl", frozen),
    Case("info_nce, softened", taught, compiled=True),
    Case("opposites", opposed),
    Case("supremix", mixed, differentiated=False),
    Case("conr", regularised),
    Case("cosent, overlap", graded, compiled=True),
    Case("cosent", lambda z1, z2, ids, y, **scale: cosent(z1, z2, same(ids), **scale)),
    # What trains temperatures holds embeddings fixed, and the other way round.
    Case("gml", of_classes, differentiated=False),
    # Rows are mixed within a process, by their order.
    Case("m3col", modalities_mixed, permuted=False, distributed=False),
    Case("m3col_soft", lambda z1, z2, ids, y, **scale: m3col_soft([z1, z2, z1.roll(1, 1)], **scale)),
    Case("sepclr", separated),
    Case("sepclr, uniform", lambda z1, z2, ids, y, **scale: uniform([z1, z2], **scale)),
    Case("sepclr, joint entropy", lambda z1, z2, ids, y, **scale: joint_entropy(z1, z2, **scale)),
    Case(
        "IndividualTemperatures",
        # Each process would count its samples from 0.
        lambda z1, z2, ids, y, **scale: TEMPERATURES(z1, z2, torch.arange(len(y)), **scale),
        differentiated=False,
        distributed=False,
    ),
    Case("macl", lambda z1, z2, ids, y, **scale: macl(z1, z2, same(ids), **scale), differentiated=False),
    # The names of ids are those of what is held; a queue that all processes hold is contrasted with without a group.
    Case("info_nce, queue", queued, relabelled=False, distributed=False),
]
