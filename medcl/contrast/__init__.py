"""The mathematics of contrast: pairings, similarities and losses, without I/O.

A pairing says who is positive, a similarity how alike two embeddings are, a loss what follows. They compose, run in
blocks of rows and across processes, and need nothing else of medcl. docs/contrast.md has one table of all methods.
"""

from medcl.contrast.core.gather import gather
from medcl.contrast.core.gradcache import encode_in_chunks
from medcl.contrast.core.mixup import draw, mix
from medcl.contrast.core.momentum import MomentumQueue, momentum_update
from medcl.contrast.losses.auc import auc
from medcl.contrast.losses.cacr import cacr
from medcl.contrast.losses.clip import clip, transposed
from medcl.contrast.losses.cloob import cloob, hopfield, info_loob
from medcl.contrast.losses.conr import conr, wrong_proximities
from medcl.contrast.losses.contrastive_gap import clip_without_gap
from medcl.contrast.losses.debiased import debiased
from medcl.contrast.losses.decoupled import decoupled
from medcl.contrast.losses.dense import corresponding, dense
from medcl.contrast.losses.focal import focal
from medcl.contrast.losses.groco import groco
from medcl.contrast.losses.hierarchical import hierarchical
from medcl.contrast.losses.identity import identities, identity
from medcl.contrast.losses.info_nce import info_nce, info_nce_levels, info_nce_views
from medcl.contrast.losses.m3col import m3col, m3col_soft
from medcl.contrast.losses.macl import macl
from medcl.contrast.losses.mochi import mochi
from medcl.contrast.losses.multi_view import mv_dhel, mv_infonce
from medcl.contrast.losses.pixpro import pixpro, propagate, same_place
from medcl.contrast.losses.regions import local, nearby
from medcl.contrast.losses.sepclr import sepclr
from medcl.contrast.losses.siglip import siglip
from medcl.contrast.losses.sparc import sparc, word_alignment
from medcl.contrast.losses.supremix import supremix
from medcl.contrast.losses.swav import sinkhorn, swav
from medcl.contrast.losses.symile import symile
from medcl.contrast.losses.temperatures import IndividualTemperatures
from medcl.contrast.losses.uniformity import align_uniform, alignment, uniformity
from medcl.contrast.pairings.neighbours import nearest
from medcl.contrast.pairings.pairs import Pairing, among_views, itself, matrix, same
from medcl.contrast.pairings.slices import across_volumes, apart_from_partition, partition
from medcl.contrast.pairings.soft import cwcl, soft
from medcl.contrast.pairings.targets import kernel, magnified, near, unknown
from medcl.contrast.similarities.gram import gram, gram_volume
from medcl.contrast.similarities.late import gloria
from medcl.contrast.similarities.multilinear import multilinear
from medcl.contrast.similarities.similarity import Similarity, cosine, dot, one_sided
from medcl.contrast.similarities.singular import leading_singular_value, pmrl

__all__ = [
    "IndividualTemperatures",
    "MomentumQueue",
    "Pairing",
    "Similarity",
    "across_volumes",
    "align_uniform",
    "alignment",
    "among_views",
    "apart_from_partition",
    "auc",
    "cacr",
    "clip",
    "clip_without_gap",
    "cloob",
    "conr",
    "corresponding",
    "cosine",
    "cwcl",
    "debiased",
    "decoupled",
    "dense",
    "dot",
    "draw",
    "encode_in_chunks",
    "focal",
    "gather",
    "gloria",
    "gram",
    "gram_volume",
    "groco",
    "hierarchical",
    "hopfield",
    "identities",
    "identity",
    "info_loob",
    "info_nce",
    "info_nce_levels",
    "info_nce_views",
    "itself",
    "kernel",
    "leading_singular_value",
    "local",
    "m3col",
    "m3col_soft",
    "macl",
    "magnified",
    "matrix",
    "mix",
    "mochi",
    "momentum_update",
    "multilinear",
    "mv_dhel",
    "mv_infonce",
    "near",
    "nearby",
    "nearest",
    "one_sided",
    "partition",
    "pixpro",
    "pmrl",
    "propagate",
    "same",
    "same_place",
    "sepclr",
    "siglip",
    "sinkhorn",
    "soft",
    "sparc",
    "supremix",
    "swav",
    "symile",
    "transposed",
    "uniformity",
    "unknown",
    "word_alignment",
    "wrong_proximities",
]
