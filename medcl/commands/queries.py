"""Queries of several examples to a file of embeddings: texts by the run, records by their embeddings."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medcl.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from medcl.embed.embeddings import EmbeddingsFile
    from medcl.embed.query import Query
    from medcl.embed.vectors import Vectors
    from medcl.explore.index import EmbeddingIndex


def direction_of(
    query: "Query", of: "EmbeddingsFile", index: "EmbeddingIndex", run: Path | None
) -> "NDArray[np.float32]":
    """The direction (dim,) of length 1 in which a query lies among embeddings, see `medcl.embed.query.direction`.

    Raises:
        UsageError: there is no such record, or no run that reads the texts.
    """
    import numpy as np

    from medcl.embed.query import direction

    texts, not_texts = (_of_texts(some, run, of) for some in (query.texts, query.not_texts))
    near, far = ([np.stack([index.vector(one) for one in some])] if some else [] for some in (query.near, query.far))
    return direction([*texts, *near], [*not_texts, *far], query.weights)


def _of_texts(texts: Sequence[str], source: Path | None, embeddings: "EmbeddingsFile") -> "list[Vectors]":
    """The embeddings (1, dim) of texts by the run that the embeddings are of.

    Raises:
        UsageError: there is no such run, or it reads no texts.
    """
    from medcl import runs
    from medcl.embed.metadata import run_fingerprint
    from medcl.evaluate.multimodal_space import embed_texts, require_multimodal, with_side
    from medcl.networks.multimodal import REPORT

    if not texts:
        return []
    if source is None:
        raise UsageError("--text is read by an encoder: name the RUN that the embeddings are of")
    if run_fingerprint(source) != embeddings.about.run:
        raise UsageError(f"{embeddings.paths[0]}: its embeddings are not of {source}: embed the archive by this run")
    run = require_multimodal(runs.load(source, kinds=()))
    if REPORT not in run.card.sides:
        raise UsageError(f"{source}: reads no texts: look for --record")
    embedded: Any = embed_texts(with_side(run, REPORT), texts).cpu()
    return [one[None].numpy() for one in embedded]
