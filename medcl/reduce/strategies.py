"""The strategies of a reduction by name: the command line, the documentation and the tests read this dict."""

import importlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from medcl.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from medcl.reduce.strategy import Strategy


@dataclass(frozen=True)
class StrategyEntry:
    """What a name stands for; nothing is imported before it is made.

    Args:
        words: what two units are compared by.
        compares: records, in words.
        path: `module:Class` below `medcl.reduce`; empty for a strategy that needs more than settings.
        settings: keyword arguments of the class.
        axis: what a threshold is, with its unit, as an axis of a chart says it.
    """

    words: str
    compares: str
    path: str
    settings: dict[str, Any] = field(default_factory=dict)
    axis: str = ""


_VALUES, _GREY, _RECORDINGS, _REPORTS = "volumes, images, recordings", "volumes, images", "recordings", "reports"
EMBEDDING, WANTED = "embedding", "wanted"
STRATEGIES: dict[str, StrategyEntry] = {
    "hash": StrategyEntry(
        "Hamming distance of difference hashes", _VALUES, "hamming:Hash", axis="Hamming distance (bits)"
    ),
    "average-hash": StrategyEntry(
        "Hamming distance of average hashes",
        _VALUES,
        "hamming:Hash",
        {"name": "average-hash", "method": "average"},
        axis="Hamming distance (bits)",
    ),
    "perceptual-hash": StrategyEntry(
        "Hamming distance of perceptual hashes",
        _VALUES,
        "hamming:Hash",
        {"name": "perceptual-hash", "method": "perceptual"},
        axis="Hamming distance (bits)",
    ),
    "every-n": StrategyEntry(
        "position: every n-th unit of a group is kept", "all records", "image_strategies:EveryN", axis="n (units)"
    ),
    "ssim": StrategyEntry(
        "structural similarity", _GREY, "image_strategies:Ssim", axis="structural similarity (at most 1)"
    ),
    "mutual-information": StrategyEntry(
        "mutual information of grey values, bits",
        _GREY,
        "image_strategies:MutualInformation",
        axis="mutual information (bits)",
    ),
    "normalised-mutual-information": StrategyEntry(
        "mutual information as a share of the mean entropy",
        _GREY,
        "image_strategies:MutualInformation",
        {"normalised": True},
        axis="mutual information (share of entropy)",
    ),
    "entropy": StrategyEntry(
        "entropy of each unit, bits: a score", _VALUES, "image_strategies:Entropy", axis="entropy (bits)"
    ),
    "correlation": StrategyEntry(
        "Pearson correlation at the best shift",
        _RECORDINGS,
        "signal_strategies:Correlation",
        axis="Pearson correlation (at most 1)",
    ),
    "beats": StrategyEntry(
        "Hamming distance of hashes of the median beat",
        _RECORDINGS,
        "signal_strategies:Beats",
        axis="Hamming distance (bits)",
    ),
    "exact-text": StrategyEntry("equal texts", _REPORTS, "text_strategies:SameText", axis="different text (0 or 1)"),
    "normalised-text": StrategyEntry(
        "equal texts but for case, spaces and punctuation",
        _REPORTS,
        "text_strategies:SameText",
        {"normalised": True},
        axis="different text (0 or 1)",
    ),
    "minhash": StrategyEntry(
        "Jaccard similarity of three-word shingles, estimated",
        _REPORTS,
        "text_strategies:MinHash",
        axis="Jaccard similarity (0 to 1)",
    ),
    EMBEDDING: StrategyEntry(
        "cosine similarity of embeddings (--run, --encoder)",
        _VALUES + ", reports",
        "",
        axis="cosine similarity (at most 1)",
    ),
    WANTED: StrategyEntry(
        "similarity to what is wanted (--wanted): a score",
        _VALUES + ", reports",
        "",
        axis="highest cosine similarity to what is wanted",
    ),
}


def strategy_of(name: str) -> "Strategy":
    """Make a strategy.

    Args:
        name: one of STRATEGIES but `embedding` and `wanted`, which need an encoder: modules of these names make them.

    Raises:
        UsageError: there is none of that name.
    """
    entry = STRATEGIES.get(name)
    if entry is None or not entry.path:
        raise UsageError(f"strategy {name}: one of {', '.join(STRATEGIES)}{did_you_mean(name, STRATEGIES)}")
    module, _, attribute = entry.path.partition(":")
    made: Strategy = getattr(importlib.import_module(f"medcl.reduce.{module}"), attribute)(**entry.settings)
    return made
