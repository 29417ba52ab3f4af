"""The mathematics of contrast: pairings, similarities and losses, without I/O.

A pairing says who is positive, a similarity how alike two embeddings are, a loss what follows. They compose, run in
blocks of rows and across processes, and need nothing else of medcl. docs/contrast.md has one table of all methods.
"""

from medcl.contrast.auc import auc
from medcl.contrast.cacr import cacr
from medcl.contrast.clip import clip, transposed
from medcl.contrast.cloob import cloob, hopfield, info_loob
from medcl.contrast.conr import conr, wrong_proximities
from medcl.contrast.contrastive_gap import clip_without_gap
from medcl.contrast.debiased import debiased
from medcl.contrast.decoupled import decoupled
from medcl.contrast.dense import corresponding, dense
from medcl.contrast.focal import focal
from medcl.contrast.gather import gather
from medcl.contrast.gradcache import encode_in_chunks
from medcl.contrast.gram import gram, gram_volume
from medcl.contrast.groco import groco
from medcl.contrast.hierarchical import hierarchical
from medcl.contrast.identity import identities, identity
from medcl.contrast.info_nce import info_nce, info_nce_levels, info_nce_views
from medcl.contrast.late import gloria
from medcl.contrast.m3col import m3col, m3col_soft
from medcl.contrast.macl import macl
from medcl.contrast.mixup import draw, mix
from medcl.contrast.mochi import mochi
from medcl.contrast.momentum import MomentumQueue, momentum_update
from medcl.contrast.multi_view import mv_dhel, mv_infonce
from medcl.contrast.multilinear import multilinear
from medcl.contrast.neighbours import nearest
from medcl.contrast.pairs import Pairing, among_views, itself, matrix, same
from medcl.contrast.pixpro import pixpro, propagate, same_place
from medcl.contrast.regions import local, nearby
from medcl.contrast.sepclr import sepclr
from medcl.contrast.siglip import siglip
from medcl.contrast.similarity import Similarity, cosine, dot, one_sided
from medcl.contrast.singular import leading_singular_value, pmrl
from medcl.contrast.slices import across_volumes, apart_from_partition, partition
from medcl.contrast.soft import cwcl, soft
from medcl.contrast.sparc import sparc, word_alignment
from medcl.contrast.supremix import supremix
from medcl.contrast.swav import sinkhorn, swav
from medcl.contrast.symile import symile
from medcl.contrast.targets import kernel, magnified, near, unknown
from medcl.contrast.temperatures import IndividualTemperatures
from medcl.contrast.uniformity import align_uniform, alignment, uniformity

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
