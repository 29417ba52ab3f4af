"""A decoder that writes a report token by token from the cells of what it describes (CoCa)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.errors import UsageError
from medcl.networks.transformer import HEAD_WIDTH, positions, transformer_layers


@dataclass(frozen=True)
class CaptionerConfig:
    """Sizes of a decoder of texts.

    Args:
        vocabulary: number of tokens.
        dim: width of the cells that it looks at.
        hidden: width of its layers, a multiple of 32.
        depth: layers of either half.
        queries: vectors that the cells are pooled to.
    """

    vocabulary: int
    dim: int
    hidden: int = 128
    depth: int = 1
    queries: int = 16


class Captioner(nn.Module):
    """The next token of a text, from those before it and from the cells of an image (Yu et al., CoCa, TMLR 2022).

    Learned queries attend to all cells (attentional pooling). Tokens pass `depth` layers that see earlier tokens alone,
    and as many that also attend to the pooled cells.

    Raises:
        UsageError: a width that is no multiple of 32, or a size below 1.
    """

    def __init__(self, config: CaptionerConfig) -> None:
        super().__init__()
        hidden, sizes = config.hidden, (config.vocabulary, config.dim, config.hidden, config.depth, config.queries)
        if min(sizes) < 1 or hidden % HEAD_WIDTH:
            raise UsageError(
                f"a captioner needs sizes of at least 1 and hidden as a multiple of {HEAD_WIDTH}, got hidden={hidden}, "
                f"depth={config.depth}, queries={config.queries}"
            )
        self.config, heads = config, hidden // HEAD_WIDTH
        self.queries = nn.Parameter(torch.randn(config.queries, hidden) / hidden**0.5)
        self.of_queries, self.of_cells = nn.LayerNorm(hidden), nn.LayerNorm(config.dim)
        self.pooling = nn.MultiheadAttention(hidden, heads, kdim=config.dim, vdim=config.dim, batch_first=True)
        self.words = nn.Embedding(config.vocabulary, hidden, padding_idx=0)
        self.before = transformer_layers(hidden, config.depth, 0.0)
        layer = nn.TransformerDecoderLayer(
            hidden, heads, 4 * hidden, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.with_cells = nn.TransformerDecoder(layer, config.depth, norm=nn.LayerNorm(hidden))
        self.output = nn.Linear(hidden, config.vocabulary)

    def forward(self, tokens: Tensor, cells: Tensor) -> Tensor:
        """Score the token behind each place of a text.

        Args:
            tokens: (B, L) ids, 0 is padding and stands behind the text.
            cells: (B, P, dim) dense embeddings.

        Returns:
            (B, L, vocabulary) logits; those of place k depend on the tokens up to k alone.
        """
        keys = self.of_cells(cells)
        queries = self.of_queries(self.queries).expand(len(cells), -1, -1)
        pooled = self.pooling(queries, keys, keys, need_weights=False)[0]
        words = self.words(tokens)
        words = words + positions(words.shape[1], words.shape[2], words.device).to(words.dtype)
        later = torch.ones(2 * (tokens.shape[1],), dtype=torch.bool, device=tokens.device).triu(1)
        states = self.with_cells(self.before(words, mask=later), pooled, tgt_mask=later)
        logits: Tensor = self.output(states)
        return logits

    def surprise(self, tokens: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
        """How little of a text is foreseen.

        Args:
            tokens: (B, L) ids.
            cells: (B, P, dim) dense embeddings.

        Returns:
            (B,) sums of -log p of the tokens behind the first, padding aside; and (B,) their numbers.
        """
        following = tokens[:, 1:]
        logits = self(tokens, cells)[:, :-1].float()
        loss = F.cross_entropy(logits.mT, following, ignore_index=0, reduction="none").sum(dim=1)
        return loss, (following != 0).sum(dim=1)
