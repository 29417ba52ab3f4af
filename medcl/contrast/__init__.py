"""The mathematics of contrast: pairings, similarities and losses, without I/O.

A pairing says who is positive, a similarity how alike two embeddings are, a loss what follows. They compose, run in
blocks of rows and across processes, and need nothing else of medcl. docs/contrast.md has one table of all methods.

`LOSSES`, `PAIRINGS` and `SIMILARITIES` hold them by name, for recipes, the documentation and the tests. A further loss
is a module in `losses/`, an entry of `LOSSES`, a row of the documentation's table and a test.
"""

from collections.abc import Callable
from typing import Any

from medcl.contrast.core.gather import encode_in_chunks as encode_in_chunks
from medcl.contrast.core.gather import gather as gather
from medcl.contrast.core.momentum import MomentumQueue as MomentumQueue
from medcl.contrast.core.momentum import momentum_update as momentum_update
from medcl.contrast.losses.auc import auc as auc
from medcl.contrast.losses.cacr import cacr as cacr
from medcl.contrast.losses.clip import clip as clip
from medcl.contrast.losses.clip import clip_without_gap as clip_without_gap
from medcl.contrast.losses.clip import cwcl as cwcl
from medcl.contrast.losses.cloob import cloob as cloob
from medcl.contrast.losses.cloob import hopfield as hopfield
from medcl.contrast.losses.cloob import info_loob as info_loob
from medcl.contrast.losses.conr import conr as conr
from medcl.contrast.losses.conr import wrong_proximities as wrong_proximities
from medcl.contrast.losses.cosent import cosent as cosent
from medcl.contrast.losses.debiased import debiased as debiased
from medcl.contrast.losses.decoupled import decoupled as decoupled
from medcl.contrast.losses.dense import corresponding as corresponding
from medcl.contrast.losses.dense import dense as dense
from medcl.contrast.losses.feature_transformation import feature_transformation as feature_transformation
from medcl.contrast.losses.focal import focal as focal
from medcl.contrast.losses.gml import class_scores as class_scores
from medcl.contrast.losses.gml import gml as gml
from medcl.contrast.losses.gram import gram as gram
from medcl.contrast.losses.groco import groco as groco
from medcl.contrast.losses.hierarchical import hierarchical as hierarchical
from medcl.contrast.losses.identity import identities as identities
from medcl.contrast.losses.identity import identity as identity
from medcl.contrast.losses.info_nce import info_nce as info_nce
from medcl.contrast.losses.info_nce import info_nce_levels as info_nce_levels
from medcl.contrast.losses.info_nce import info_nce_views as info_nce_views
from medcl.contrast.losses.kernel_info_nce import kernel_info_nce as kernel_info_nce
from medcl.contrast.losses.m3col import draw as draw
from medcl.contrast.losses.m3col import m3col as m3col
from medcl.contrast.losses.m3col import m3col_soft as m3col_soft
from medcl.contrast.losses.m3col import mix as mix
from medcl.contrast.losses.macl import macl as macl
from medcl.contrast.losses.mochi import mochi as mochi
from medcl.contrast.losses.multi_view import mv_dhel as mv_dhel
from medcl.contrast.losses.multi_view import mv_infonce as mv_infonce
from medcl.contrast.losses.multi_view import poly_view_statistics as poly_view_statistics
from medcl.contrast.losses.obow import obow as obow
from medcl.contrast.losses.obow import visual_words as visual_words
from medcl.contrast.losses.opposites import all_opposites as all_opposites
from medcl.contrast.losses.opposites import opposite_gaps as opposite_gaps
from medcl.contrast.losses.opposites import opposites as opposites
from medcl.contrast.losses.opposites import ranked_opposites as ranked_opposites
from medcl.contrast.losses.pixpro import pixpro as pixpro
from medcl.contrast.losses.pixpro import propagate as propagate
from medcl.contrast.losses.pixpro import same_place as same_place
from medcl.contrast.losses.pmrl import pmrl as pmrl
from medcl.contrast.losses.regions import local as local
from medcl.contrast.losses.regions import nearby as nearby
from medcl.contrast.losses.sepclr import sepclr as sepclr
from medcl.contrast.losses.siglip import siglip as siglip
from medcl.contrast.losses.slotcon import centre_of as centre_of
from medcl.contrast.losses.slotcon import grouped as grouped
from medcl.contrast.losses.slotcon import slotcon as slotcon
from medcl.contrast.losses.sparc import word_alignment as word_alignment
from medcl.contrast.losses.supremix import supremix as supremix
from medcl.contrast.losses.swav import sinkhorn as sinkhorn
from medcl.contrast.losses.swav import swav as swav
from medcl.contrast.losses.symile import symile as symile
from medcl.contrast.losses.temperatures import IndividualTemperatures as IndividualTemperatures
from medcl.contrast.losses.uniformity import align_uniform as align_uniform
from medcl.contrast.losses.uniformity import alignment as alignment
from medcl.contrast.losses.uniformity import uniformity as uniformity
from medcl.contrast.losses.w_mse import w_mse as w_mse
from medcl.contrast.pairings.neighbours import alike as alike
from medcl.contrast.pairings.neighbours import nearest as nearest
from medcl.contrast.pairings.neighbours import soft as soft
from medcl.contrast.pairings.neighbours import softened as softened
from medcl.contrast.pairings.pairs import Pairing as Pairing
from medcl.contrast.pairings.pairs import among_views as among_views
from medcl.contrast.pairings.pairs import itself as itself
from medcl.contrast.pairings.pairs import matrix as matrix
from medcl.contrast.pairings.pairs import same as same
from medcl.contrast.pairings.slices import across_volumes as across_volumes
from medcl.contrast.pairings.slices import apart_from_partition as apart_from_partition
from medcl.contrast.pairings.slices import partition as partition
from medcl.contrast.pairings.survival import event_times as event_times
from medcl.contrast.pairings.targets import kernel as kernel
from medcl.contrast.pairings.targets import magnified as magnified
from medcl.contrast.pairings.targets import near as near
from medcl.contrast.pairings.targets import overlap as overlap
from medcl.contrast.pairings.targets import smoothed as smoothed
from medcl.contrast.pairings.targets import unknown as unknown
from medcl.contrast.similarities.late import gloria as gloria
from medcl.contrast.similarities.late import sparc as sparc
from medcl.contrast.similarities.multimodal import gram_volume as gram_volume
from medcl.contrast.similarities.multimodal import leading_singular_value as leading_singular_value
from medcl.contrast.similarities.multimodal import multilinear as multilinear
from medcl.contrast.similarities.similarity import Similarity as Similarity
from medcl.contrast.similarities.similarity import cosine as cosine
from medcl.contrast.similarities.similarity import dot as dot
from medcl.contrast.similarities.similarity import one_sided as one_sided
from medcl.contrast.similarities.similarity import transposed as transposed

LOSSES: dict[str, Callable[..., Any]] = {
    "align_uniform": align_uniform,
    "alignment": alignment,
    "auc": auc,
    "cacr": cacr,
    "clip": clip,
    "clip_without_gap": clip_without_gap,
    "cloob": cloob,
    "conr": conr,
    "cosent": cosent,
    "cwcl": cwcl,
    "debiased": debiased,
    "decoupled": decoupled,
    "dense": dense,
    "feature_transformation": feature_transformation,
    "focal": focal,
    "gml": gml,
    "gram": gram,
    "groco": groco,
    "hierarchical": hierarchical,
    "identity": identity,
    "IndividualTemperatures": IndividualTemperatures,
    "info_loob": info_loob,
    "info_nce": info_nce,
    "info_nce_levels": info_nce_levels,
    "info_nce_views": info_nce_views,
    "kernel_info_nce": kernel_info_nce,
    "local": local,
    "m3col": m3col,
    "m3col_soft": m3col_soft,
    "macl": macl,
    "mochi": mochi,
    "mv_dhel": mv_dhel,
    "mv_infonce": mv_infonce,
    "opposites": opposites,
    "obow": obow,
    "pixpro": pixpro,
    "pmrl": pmrl,
    "poly_view_statistics": poly_view_statistics,
    "sepclr": sepclr,
    "siglip": siglip,
    "slotcon": slotcon,
    "supremix": supremix,
    "swav": swav,
    "symile": symile,
    "uniformity": uniformity,
    "w_mse": w_mse,
    "word_alignment": word_alignment,
}
"""Functions, or modules that keep a state, of embeddings, a pairing and settings to a scalar, or to one a level."""

PAIRINGS: dict[str, Callable[..., Pairing]] = {
    "across_volumes": across_volumes,
    "alike": alike,
    "among_views": among_views,
    "apart_from_partition": apart_from_partition,
    "event_times": event_times,
    "itself": itself,
    "kernel": kernel,
    "magnified": magnified,
    "matrix": matrix,
    "near": near,
    "overlap": overlap,
    "same": same,
    "smoothed": smoothed,
    "soft": soft,
    "softened": softened,
    "unknown": unknown,
}
"""Functions of ids, positions, targets or embeddings to a pairing."""

SIMILARITIES: dict[str, Similarity | Callable[..., Similarity]] = {
    "cosine": cosine,
    "dot": dot,
    "gloria": gloria,
    "gram_volume": gram_volume,
    "leading_singular_value": leading_singular_value,
    "multilinear": multilinear,
    "one_sided": one_sided,
    "sparc": sparc,
}
"""Similarities, and functions of settings to one (`gloria`, `sparc`)."""
