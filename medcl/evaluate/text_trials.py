"""What is asked of encoders of reports alone: a report by one of its sentences, and whether alike reports lie near.

The questions of SimCSE (Gao, Yao and Chen, EMNLP 2021), for an archive without graded pairs: the overlap of the
labels of what two reports describe stands for how alike they are. Equal texts are one everywhere.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from medcl.archive.links import Links
from medcl.archive.manifest import Manifest
from medcl.evaluate.config import MultimodalEvaluateConfig
from medcl.evaluate.multimodal_trials import CHANCE, Trial
from medcl.evaluate.relevance import classes_of
from medcl.evaluate.results_tables import Queries
from medcl.modality.report.baselines import learned, weighted
from medcl.modality.report.config import TextConfig
from medcl.modality.report.text import draws, text_code
from medcl.stats.embedding_space import alignment, spread
from medcl.stats.intervals import Measured
from medcl.stats.pair_correlation import PairCorrelation
from medcl.stats.ranking import Floats
from medcl.stats.retrieval import Ints, QueryValues, RelevanceIds, rank, values_of

Embed = Callable[[Sequence[str]], Tensor]
"""Texts to vectors (texts, dim)."""
GAIN = 10
"""The k of nDCG@k."""
PAIRS = 5_000
"""Pairs of reports whose labels are compared, at most."""


@dataclass(frozen=True)
class Texts:
    """Different texts of reports.

    Args:
        sentences: of each.
        rows: (texts,) a row of the manifest of each.
        members: all rows with it.
    """

    sentences: list[list[str]]
    rows: Ints
    members: list[Ints]

    @classmethod
    def of(cls, manifest: Manifest, rows: Ints, config: TextConfig) -> "Texts":
        """The texts of rows of reports, by the sections that an encoder reads; without those that have none of them."""
        found: dict[int, list[str]] = {}
        members: dict[int, list[int]] = {}
        said = manifest.column("report")
        for row in rows.tolist():
            parts = draws(str(said[row] or ""), config)
            if isinstance(parts, list) and (code := text_code(" ".join(parts))) >= 0:
                found.setdefault(code, parts)
                members.setdefault(code, []).append(row)
        groups = [np.array(some) for some in members.values()]
        return cls(list(found.values()), np.array([some[0] for some in groups], dtype=np.int64), groups)

    @property
    def whole(self) -> list[str]:
        """The texts."""
        return [" ".join(one) for one in self.sentences]


def by_sentence(
    texts: Texts, arms: Mapping[str, Embed], patient: Ints, config: MultimodalEvaluateConfig
) -> Trial | None:
    """Find a report by one of its sentences, which is taken out of it; None where no report has two.

    The seed draws the sentences. Reports of one sentence are candidates as they are.
    """
    rng = np.random.default_rng([config.seed, 5])
    asked, said, rest = [], [], texts.whole
    for number, parts in enumerate(texts.sentences):
        if len({text_code(one) for one in parts}) > 1:
            place = int(rng.integers(len(parts)))
            others = [one for one in parts if text_code(one) != text_code(parts[place])]
            asked.append(number)
            said.append(parts[place])
            rest[number] = " ".join(others)
    if not asked:
        return None
    codes = np.array([text_code(one) for one in rest])
    marks = RelevanceIds.of(codes[asked]), RelevanceIds.of(codes)
    measured: dict[str, Measured] = {}
    for name, embed in arms.items():
        ranking = rank(embed(said), embed(rest), marks, ranks=config.ranks, seed=config.seed)
        own, by_chance = values_of(ranking)
        best = ranking.best.astype(np.float64)
        # The best hit alone counts: others are equal texts once their sentence is taken out.
        gain = np.where(best <= GAIN, 1 / np.log2(best + 1), 0.0)
        measured[name] = QueryValues({**own.means, f"ndcg@{GAIN}": gain}, own.median)
    places = np.arange(1, min(GAIN, len(rest)) + 1)
    expected = np.full(len(asked), (1 / np.log2(places + 1)).sum() / len(rest))
    chance = QueryValues({**by_chance.means, f"ndcg@{GAIN}": expected}, by_chance.median)
    people = patient[texts.rows[asked]]
    about = Queries("sentence to the rest of its report", len(asked), len(np.unique(people)), len(rest))
    return Trial(about, {**measured, CHANCE: chance}, people)


def by_labels(
    texts: Texts,
    vectors: Mapping[str, Tensor],
    manifest: Manifest,
    known: Links,
    config: MultimodalEvaluateConfig,
) -> Trial | None:
    """Correlate the cosine of two reports with the overlap (Jaccard) of the classes of what they describe.

    Of all targets that have classes; the seed draws the pairs, never two texts of one patient. None where fewer than
    three reports describe labelled records.

    Args:
        texts: that are compared.
        vectors: (texts, dim) of each arm.
        manifest: of the records.
        known: which report describes what.
        config: whose seed is used.
    """
    names = [name for name, target in manifest.targets.items() if target.classes]
    if not names:
        return None
    table = np.concatenate([classes_of(manifest, known, name) for name in names], axis=1)
    marked = np.stack([table[rows].any(axis=0) for rows in texts.members])
    labelled = np.flatnonzero(marked.any(axis=1))
    patient = manifest.column("patient")
    people = patient[texts.rows[labelled]]
    pairs = _pairs(people, np.random.default_rng([config.seed, 6]))
    if len(pairs) < 2:
        return None
    own = marked[labelled].astype(np.float64)
    shared = (own[pairs[:, 0]] * own[pairs[:, 1]]).sum(axis=1)
    overlap = shared / np.maximum(own[pairs[:, 0]], own[pairs[:, 1]]).sum(axis=1)
    measured: dict[str, Measured] = {}
    for name, own_vectors in vectors.items():
        z = F.normalize(own_vectors[torch.from_numpy(labelled)].double(), dim=1).numpy()
        cosine: Floats = (z[pairs[:, 0]] * z[pairs[:, 1]]).sum(axis=1)
        measured[name] = PairCorrelation(pairs, cosine, overlap, len(labelled))
    about = Queries("alike by labels, near by cosine", len(labelled), len(np.unique(people)), len(pairs))
    return Trial(about, {**measured, CHANCE: QueryValues({"spearman": np.zeros(len(labelled))})}, people)


def _pairs(people: Ints, rng: np.random.Generator) -> Ints:
    """(pairs, 2) different pairs of texts of different patients, in order: all where they are few, else `PAIRS`."""
    if len(people) * (len(people) - 1) // 2 <= 4 * PAIRS:
        pairs = np.stack(np.triu_indices(len(people), k=1), axis=1)
    else:
        # Drawn, not chosen of all: those of 100,000 texts would not fit into memory.
        drawn = np.sort(rng.integers(len(people), size=(4 * PAIRS, 2)), axis=1)
        pairs = np.unique(drawn[drawn[:, 0] != drawn[:, 1]], axis=0)
    pairs = pairs[people[pairs[:, 0]] != people[pairs[:, 1]]]
    return np.asarray(pairs[np.sort(rng.permutation(len(pairs))[:PAIRS])], dtype=np.int64)


def space(texts: Texts, vectors: Mapping[str, Tensor], manifest: Manifest) -> Iterator[tuple[str, dict[str, float]]]:
    """Of each arm alignment of the texts of one patient, of all pairs, and uniformity (Wang and Isola, ICML 2020)."""
    codes = manifest.column("patient")[texts.rows]
    for name, own in vectors.items():
        z = own.numpy()
        about = spread(z, {})
        yield (
            name,
            {
                "alignment": alignment(z, np.unique(codes, return_inverse=True)[1]),
                "alignment_all": about.apart,
                "uniformity": about.uniformity,
            },
        )


def tf_idf(train: Sequence[str]) -> Embed:
    """The simple baseline of reports, see `TfIdf`, of the training reports, with words that only one of them has."""
    state = learned([train], least=1)
    return lambda texts: torch.from_numpy(weighted(texts, state).astype(np.float32))


def once(embed: Embed) -> Embed:
    """The same, which embeds no text twice."""
    known: dict[str, Tensor] = {}

    def embedded(texts: Sequence[str]) -> Tensor:
        if new := [text for text in dict.fromkeys(texts) if text not in known]:
            known.update(zip(new, embed(new), strict=True))
        return torch.stack([known[text] for text in texts])

    return embedded
