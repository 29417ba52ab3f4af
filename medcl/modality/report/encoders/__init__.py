"""Text encoders: `build` makes one from its configuration, such as a small transformer that is trained from scratch."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from medcl.errors import UsageError
from medcl.modality.report.config import TextEncoderConfig
from medcl.modality.report.encoders.tokens import Tokenizer
from medcl.networks.latent_attention import LatentAttention
from medcl.networks.transformer import HEAD_WIDTH, positions, transformer_layers


class TextEncoder(nn.Module, ABC):
    """Turns sequences of token ids (B, L), in which 0 is padding, into dense embeddings (B, L, dim).

    How far a sequence is padded changes nothing. A kind of encoder derives from it and writes `encode`; `text.build`
    makes one from its configuration.

    Args:
        config: the encoder's configuration, kept as `config`.
        tokenizer: whose ids it takes, kept as `tokenizer`.
    """

    special: Tensor
    longest: int | None = None
    """Tokens of a sequence at most, None where there is no limit."""
    architecture: str | None = None
    """JSON of a transformers model's configuration, for the card."""

    def __init__(self, config: TextEncoderConfig, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.config, self.tokenizer = config, tokenizer
        self.register_buffer("special", torch.tensor(tokenizer.special), persistent=False)
        self.latent = LatentAttention(config.dim, config.latents) if config.pooling == "latent" else None

    @abstractmethod
    def encode(self, ids: Tensor, here: Tensor) -> Tensor:
        """Compute what `forward` returns, from ids that have been checked.

        Args:
            ids: (B, L) int64.
            here: (B, L) bool, False at padding; True somewhere in each row.
        """

    def forward(self, ids: Tensor) -> Tensor:
        """Encode every token.

        Args:
            ids: (B, L) integers, 0 is padding and stands behind the text.

        Returns:
            (B, L, dim), 0 at padding.

        Raises:
            UsageError: ids of another shape or type, or longer sequences than the encoder takes.
        """
        if ids.ndim != 2 or not ids.shape[1] or ids.is_floating_point() or ids.dtype == torch.bool:
            raise UsageError(
                f"a text encoder takes ids (batch, tokens) of integers, got {tuple(ids.shape)} {ids.dtype}"
            )
        if self.longest is not None and ids.shape[1] > self.longest:
            raise UsageError(
                f"the text encoder takes at most {self.longest} tokens, got {ids.shape[1]}: set a smaller data length"
            )
        ids = ids.long()
        here = ids != 0
        # Attention over no token at all is not a number. A row without a text attends to its first padding instead.
        attended = here | (torch.arange(ids.shape[1], device=ids.device) == 0)
        return self.encode(ids, attended).masked_fill(~here.unsqueeze(-1), 0)

    def keep(self, ids: Tensor) -> Tensor:
        """Which tokens of (B, L) are words, neither padding nor special tokens: (B, L) bool."""
        return ~torch.isin(ids, self.special)

    pools_input = True
    """`pool` takes the tokens too: padding does not count."""

    def pool(self, dense: Tensor, ids: Tensor) -> Tensor:
        """Pool a dense embedding (B, L, dim) over tokens to (B, dim), by `config.pooling`.

        All tokens but padding count, the special ones as well, as in sentence encoders. Without any token it is 0.
        """
        if self.config.pooling == "cls":
            return dense[:, 0]
        if self.latent is not None:
            dense = self.latent(dense)
        here = (ids != 0).unsqueeze(-1)
        if self.config.pooling == "max":
            largest = dense.masked_fill(~here, float("-inf")).amax(dim=1)
            return largest.masked_fill(~here.any(dim=1), 0)
        return (dense * here).sum(dim=1) / here.sum(dim=1).clamp(min=1)

    def embed(self, ids: Tensor) -> Tensor:
        """Encode (B, L) to one embedding a text, (B, dim)."""
        return self.pool(cast(Tensor, self(ids)), ids)


class TransformerTextEncoder(TextEncoder):
    """Embedded tokens, sinusoidal positions, `config.depth` pre-norm transformer layers.

    Layers are `config.hidden` wide with heads of width 32 and a feed-forward part four times as wide; a last linear map
    goes to `config.dim`.

    Raises:
        UsageError: invalid sizes.
    """

    def __init__(self, config: TextEncoderConfig, tokenizer: Tokenizer) -> None:
        super().__init__(config, tokenizer)
        if config.hidden < HEAD_WIDTH or config.hidden % HEAD_WIDTH or config.depth < 1:
            raise UsageError(
                f"a text encoder needs hidden to be a multiple of {HEAD_WIDTH} (the width of a head) and depth of at "
                f"least 1, got hidden={config.hidden}, depth={config.depth}"
            )
        self.words = nn.Embedding(tokenizer.size, config.hidden, padding_idx=0)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = transformer_layers(config.hidden, config.depth, config.dropout)
        self.output = nn.Linear(config.hidden, config.dim)

    def encode(self, ids: Tensor, here: Tensor) -> Tensor:
        """Encode (B, L) as (B, L, dim)."""
        words = self.words(ids)
        words = self.dropout(words + positions(ids.shape[1], words.shape[2], ids.device).to(words.dtype))
        return cast(Tensor, self.output(self.layers(words, src_key_padding_mask=~here)))


class LatentSemanticEncoder(TextEncoder):
    """A bag of words: embedded tokens alone, which begin with a latent semantic analysis of the training reports.

    The analysis (Deerwester et al., Indexing by Latent Semantic Analysis, JASIS 1990) takes the counts of the tokens of
    each report times log((1 + reports) / (1 + reports with the token)) + 1, with length 1, and keeps the directions of
    the `config.dim` largest singular values. A token begins with its weight times its place in these directions, so
    that the mean of the tokens of a report is its place: centred on that of all reports, and with the variance of 1.

    Raises:
        UsageError: another pooling than the mean.
    """

    def __init__(self, config: TextEncoderConfig, tokenizer: Tokenizer) -> None:
        super().__init__(config, tokenizer)
        if config.pooling != "mean":
            raise UsageError(f"the text encoder `lsa` pools tokens by their mean, got pooling={config.pooling!r}")
        self.words = nn.Embedding(tokenizer.size, config.dim, padding_idx=0)
        self.dropout = nn.Dropout(config.dropout)

    def encode(self, ids: Tensor, here: Tensor) -> Tensor:
        """Encode (B, L) as (B, L, dim)."""
        return cast(Tensor, self.dropout(self.words(ids)))

    @torch.no_grad()
    def fit(self, reports: Sequence[Tensor]) -> None:
        """Begin with the analysis of reports.

        Args:
            reports: batches of token ids (B, L), 0 behind the end of each.

        Raises:
            UsageError: there are fewer reports, or tokens in them, than directions are asked for, or all are the same.
        """
        # Only where it is asked for: the import of scikit-learn takes half a second.
        from scipy import sparse
        from sklearn.decomposition import TruncatedSVD
        from sklearn.preprocessing import normalize

        rows = [self._counts(ids) for ids in reports]
        counts = sparse.vstack(rows).tocsr()
        present = (counts > 0).sum(axis=0).A1
        n_tokens = int((present > 0).sum())
        most = max(min(counts.shape[0], n_tokens - 1), 0)
        if self.config.dim > most:
            raise UsageError(
                f"report.encoder.dim={self.config.dim}: {counts.shape[0]:,} training reports with {n_tokens:,} "
                f"different tokens have {most} directions; set at most as many"
            )
        rarity = np.log((1 + counts.shape[0]) / (1 + present)) + 1
        found = TruncatedSVD(self.config.dim, random_state=0).fit(normalize(counts @ sparse.diags(rarity)))
        tokens = rarity[:, None] * found.components_.T
        tokens[list(self.tokenizer.special)] = 0
        # Special tokens are pooled as well: they count in the mean and say nothing.
        length = np.concatenate([(ids != 0).sum(dim=1).numpy() for ids in reports])
        places = (counts @ tokens) / length[:, None]
        centre = places.mean(axis=0)
        spread = (places - centre).std()
        if spread < 1e-9:
            raise UsageError(
                "report.encoder.name=lsa: all training reports have the same words, so nothing is analysed"
            )
        self.words.weight.copy_(torch.from_numpy((tokens - centre) / spread))
        self.words.weight[0] = 0

    def _counts(self, ids: Tensor) -> Any:
        """Of each token in each report, (B, tokens), sparse; none of special ones."""
        from scipy import sparse

        report, place = torch.nonzero(self.keep(ids), as_tuple=True)
        ones = np.ones(len(report), dtype=np.float32)
        return sparse.csr_matrix((ones, (report.numpy(), ids[report, place].numpy())), (len(ids), self.tokenizer.size))


OF_REPORTS: dict[str, type[TextEncoder]] = {"transformer": TransformerTextEncoder, "lsa": LatentSemanticEncoder}
"""Encoders with a tokenizer that is trained on the reports themselves; other names are those of published models."""


def build(config: TextEncoderConfig, tokenizer: Tokenizer, architecture: str | None = None) -> TextEncoder:
    """Make the encoder that a configuration describes.

    Args:
        config: which encoder, and its sizes.
        tokenizer: whose ids it takes: trained on the reports for those of `OF_REPORTS`, else `Tokenizer.of_model`.
        architecture: of a transformers model, the JSON that its encoder has as `architecture` and its card keeps; then
            its weights are random, and nothing is looked up on disk or network.

    Returns:
        The encoder, in training mode, on the CPU: with random weights, or those of the transformers model.

    Raises:
        MedclError: there is no such transformers model, or it cannot be read.
        UsageError: the configuration holds an invalid value, or the tokenizer is one of another model.
    """
    if config.dim < 1:
        raise UsageError(f"a text encoder needs dim of at least 1, got dim={config.dim}")
    if not 0 <= config.dropout < 1:
        raise UsageError(f"a text encoder's dropout lies in [0, 1), got dropout={config.dropout}")
    if config.pooling not in ("mean", "max", "cls", "latent"):
        raise UsageError(f"a text encoder pools by 'mean', 'max', 'cls' or 'latent', got pooling={config.pooling!r}")
    if config.latents < 1:
        raise UsageError(f"a text encoder needs latents of at least 1, got latents={config.latents}")
    if config.freeze < -1 or config.lora < 0:
        raise UsageError(
            f"freeze is a number of layers or -1, lora a rank or 0, got freeze={config.freeze}, lora={config.lora}"
        )
    if config.name in OF_REPORTS:
        if config.freeze or config.lora:
            raise UsageError(f"freeze and lora are for transformers models: `{config.name}` has no weights to keep")
        return OF_REPORTS[config.name](config, tokenizer)
    # Only where it is asked for: the import of transformers takes seconds.
    from medcl.modality.report.encoders.pretrained import PretrainedTextEncoder

    return PretrainedTextEncoder(config, tokenizer, architecture)
