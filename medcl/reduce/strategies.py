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
    """

    words: str
    compares: str
    path: str
    settings: dict[str, Any] = field(default_factory=dict)


_VALUES, _GREY, _RECORDINGS, _REPORTS = "volumes, images, recordings", "volumes, images", "recordings", "reports"
EMBEDDING = "embedding"
STRATEGIES: dict[str, StrategyEntry] = {
    "hash": StrategyEntry("Hamming distance of difference hashes", _VALUES, "hamming:Hash"),
    "average-hash": StrategyEntry(
        "Hamming distance of average hashes", _VALUES, "hamming:Hash", {"name": "average-hash", "method": "average"}
    ),
    "perceptual-hash": StrategyEntry(
        "Hamming distance of perceptual hashes",
        _VALUES,
        "hamming:Hash",
        {"name": "perceptual-hash", "method": "perceptual"},
    ),
    "every-n": StrategyEntry("position: every n-th unit of a group is kept", "all records", "image_strategies:EveryN"),
    "ssim": StrategyEntry("structural similarity", _GREY, "image_strategies:Ssim"),
    "mutual-information": StrategyEntry(
        "mutual information of grey values, bits", _GREY, "image_strategies:MutualInformation"
    ),
    "normalised-mutual-information": StrategyEntry(
        "mutual information as a share of the mean entropy",
        _GREY,
        "image_strategies:MutualInformation",
        {"normalised": True},
    ),
    "entropy": StrategyEntry("entropy of each unit, bits: a score", _VALUES, "image_strategies:Entropy"),
    "correlation": StrategyEntry("Pearson correlation at the best shift", _RECORDINGS, "signal_strategies:Correlation"),
    "beats": StrategyEntry("Hamming distance of hashes of the median beat", _RECORDINGS, "signal_strategies:Beats"),
    "exact-text": StrategyEntry("equal texts", _REPORTS, "text_strategies:SameText"),
    "normalised-text": StrategyEntry(
        "equal texts but for case, spaces and punctuation", _REPORTS, "text_strategies:SameText", {"normalised": True}
    ),
    "minhash": StrategyEntry(
        "Jaccard similarity of three-word shingles, estimated", _REPORTS, "text_strategies:MinHash"
    ),
    EMBEDDING: StrategyEntry("cosine similarity of embeddings (--run, --encoder)", _VALUES + ", reports", ""),
}


def strategy_of(name: str) -> "Strategy":
    """Make a strategy.

    Args:
        name: one of STRATEGIES but `embedding`, which needs an encoder: `medcl.reduce.embedding` makes it.

    Raises:
        UsageError: there is none of that name.
    """
    entry = STRATEGIES.get(name)
    if entry is None or not entry.path:
        raise UsageError(f"strategy {name}: one of {', '.join(STRATEGIES)}{did_you_mean(name, STRATEGIES)}")
    module, _, attribute = entry.path.partition(":")
    made: Strategy = getattr(importlib.import_module(f"medcl.reduce.{module}"), attribute)(**entry.settings)
    return made
