"""The strategies by their names on the command line; `embedding`, which needs an encoder, is made elsewhere."""

from collections.abc import Callable

from medcl.errors import UsageError
from medcl.reduce.hash_strategy import Hash
from medcl.reduce.image_strategies import Entropy, EveryN, MutualInformation, Ssim
from medcl.reduce.signal_strategies import Beats, Correlation
from medcl.reduce.strategy import Strategy
from medcl.reduce.text_strategies import MinHash, SameText
from medcl.suggest import did_you_mean

STRATEGIES: dict[str, Callable[[], Strategy]] = {
    "hash": Hash,
    "average-hash": lambda: Hash("average-hash", "average"),
    "perceptual-hash": lambda: Hash("perceptual-hash", "perceptual"),
    "every-n": EveryN,
    "ssim": Ssim,
    "mutual-information": MutualInformation,
    "normalised-mutual-information": lambda: MutualInformation(normalised=True),
    "entropy": Entropy,
    "correlation": Correlation,
    "beats": Beats,
    "exact-text": SameText,
    "normalised-text": lambda: SameText(normalised=True),
    "minhash": MinHash,
}
EMBEDDING = "embedding"


def strategy_of(name: str) -> Strategy:
    """Make a strategy.

    Args:
        name: one of STRATEGIES.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in STRATEGIES:
        known = [*STRATEGIES, EMBEDDING]
        raise UsageError(f"strategy {name}: one of {', '.join(known)}{did_you_mean(name, known)}")
    return STRATEGIES[name]()
