"""A small transformer for texts, trained from scratch."""

from typing import cast

from torch import Tensor, nn

from medcl.errors import UsageError
from medcl.modality.report.encoders.base import TextEncoder
from medcl.modality.report.encoders.config import TextEncoderConfig
from medcl.modality.report.encoders.tokens import Tokenizer
from medcl.modality.signal.encoders.transformer import HEAD_WIDTH, positions


class TransformerTextEncoder(TextEncoder):
    """Embedded tokens, sinusoidal positions, `config.depth` pre-norm transformer layers.

    Layers are `config.hidden` wide with heads of width 32 and a feed-forward part four times as wide; a last linear map
    goes to `config.dim`.

    Raises:
        UsageError: sizes that cannot be meant.
    """

    def __init__(self, config: TextEncoderConfig, tokenizer: Tokenizer) -> None:
        super().__init__(config, tokenizer)
        if config.hidden < HEAD_WIDTH or config.hidden % HEAD_WIDTH or config.depth < 1:
            raise UsageError(
                f"a text encoder needs hidden to be a multiple of {HEAD_WIDTH} (the width of a head) and depth of at "
                f"least 1, got hidden={config.hidden}, depth={config.depth}"
            )
        if config.freeze or config.lora:
            raise UsageError("freeze and lora are for transformers models: `transformer` has no weights to keep")
        self.words = nn.Embedding(tokenizer.size, config.hidden, padding_idx=0)
        self.dropout = nn.Dropout(config.dropout)
        layer = nn.TransformerEncoderLayer(
            config.hidden,
            nhead=config.hidden // HEAD_WIDTH,
            dim_feedforward=4 * config.hidden,
            dropout=config.dropout,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.layers = nn.TransformerEncoder(
            layer, config.depth, norm=nn.LayerNorm(config.hidden), enable_nested_tensor=False
        )
        self.output = nn.Linear(config.hidden, config.dim)

    def encode(self, ids: Tensor, here: Tensor) -> Tensor:
        """Encode (B, L) as (B, L, dim)."""
        words = self.words(ids)
        words = self.dropout(words + positions(ids.shape[1], words.shape[2], ids.device).to(words.dtype))
        return cast(Tensor, self.output(self.layers(words, src_key_padding_mask=~here)))
