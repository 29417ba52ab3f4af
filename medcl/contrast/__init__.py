"""The mathematics of contrast: pairings, similarities and losses, without I/O."""

from medcl.contrast.info_nce import info_nce, info_nce_levels, info_nce_views
from medcl.contrast.pairs import Pairing, among_views, itself, matrix, same
from medcl.contrast.similarity import cosine, dot, one_sided

__all__ = [
    "Pairing",
    "among_views",
    "cosine",
    "dot",
    "info_nce",
    "info_nce_levels",
    "info_nce_views",
    "itself",
    "matrix",
    "one_sided",
    "same",
]
