"""Perplexity of texts: how many tokens a model hesitates between, on average."""

from dataclasses import dataclass

import numpy as np

from medcl.stats.ranking import Floats


@dataclass(frozen=True)
class Surprise:
    """What a model foresees of texts, ready to be measured under any weights.

    The perplexity is exp(sum of -log p / number of tokens), over all tokens of the texts that are weighed.

    Args:
        sums: {metric: (texts,) sums of -log p of the tokens of each text}.
        tokens: (texts,) their numbers.
    """

    sums: dict[str, Floats]
    tokens: Floats

    @property
    def n_items(self) -> int:
        """Number of texts."""
        return len(self.tokens)

    def metrics(self, weights: Floats) -> tuple[dict[str, Floats], dict[str, Floats]]:
        """{metric: (resamples,)} under weights (texts, resamples); there are no values by class."""
        total = self.tokens @ weights
        return {name: np.exp(own @ weights / total) for name, own in self.sums.items()}, {}
