"""An encoder of texts from a transformers model, trained whole, in part, or by low-rank updates."""

from typing import Any, Self, cast

import peft
import torch
from torch import Tensor, nn

from medcl.errors import UsageError
from medcl.modality.report.config import TextEncoderConfig
from medcl.modality.report.encoders.files import describe, read_model, rebuild
from medcl.modality.report.encoders.tokens import Tokenizer
from medcl.modality.report.encoders.transformer import TextEncoder

_PROJECTIONS = frozenset(
    {"query", "key", "value", "query_proj", "key_proj", "value_proj", "q_proj", "k_proj", "v_proj"}
    | {"q_lin", "k_lin", "v_lin", "q", "k", "v", "Wqkv"}
)
"""What the linear maps to queries, keys and values are called in the models of transformers."""


class PretrainedTextEncoder(TextEncoder):
    """A transformers model, and a linear map to `config.dim` where the model has another width.

    Frozen layers have no gradient and no dropout. With `config.lora` only low-rank updates of the projections of
    attention (Hu et al. 2021) and what lies above the model are trained.

    Args:
        config: the encoder's configuration.
        tokenizer: whose ids it takes.
        architecture: JSON of a transformers configuration, from a card: then the weights are random and nothing is
            looked up. Without it the model called `config.name` is read.

    Raises:
        MedclError: there is no such model, or it cannot be read.
        UsageError: the tokenizer is not one of this model, or it has no layers as `freeze` and `lora` mean.
    """

    def __init__(self, config: TextEncoderConfig, tokenizer: Tokenizer, architecture: str | None = None) -> None:
        super().__init__(config, tokenizer)
        model = rebuild(architecture) if architecture is not None else read_model(config.name, config.download)
        rows = model.get_input_embeddings().num_embeddings
        if tokenizer.size > rows:
            raise UsageError(
                f"the tokenizer has {tokenizer.size} tokens, the model {config.name} embeds {rows}: it is the "
                "tokenizer of another model"
            )
        self.architecture = describe(model)
        self.longest = _longest(model)
        self.padding = tokenizer.padding
        self.model = model
        if config.lora:
            _adapt(model, config)
        self._frozen = _first_layers(model, config.freeze)
        for part in self._frozen:
            part.requires_grad_(False)
        width = int(model.config.hidden_size)
        self.output = nn.Identity() if width == config.dim else nn.Linear(width, config.dim)
        self.train()

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all layers but the frozen ones, which stay in that of evaluation."""
        super().train(mode)
        for part in self._frozen:
            part.eval()
        return self

    def encode(self, ids: Tensor, here: Tensor) -> Tensor:
        """Encode (B, L) as (B, L, dim)."""
        if self.padding:
            # The tokenizer has exchanged the two, see there.
            ids = torch.where(ids == 0, self.padding, torch.where(ids == self.padding, 0, ids))
        found = self.model(input_ids=ids, attention_mask=here.long(), return_dict=True)
        return cast(Tensor, self.output(found.last_hidden_state))


def _longest(model: Any) -> int | None:
    """Tokens that a model has positions for: where they are learned, RoBERTa's kind counts on from its padding."""
    learned = [part for name, part in model.named_modules() if name.endswith("position_embeddings")]
    if not learned or not isinstance(learned[0], nn.Embedding):
        return getattr(model.config, "max_position_embeddings", None)
    padding = learned[0].padding_idx
    return learned[0].num_embeddings - (0 if padding is None else padding + 1)


def _layers(model: Any) -> nn.ModuleList:
    """The layers of a model in order.

    Raises:
        UsageError: it has none, as one that uses the same layer again and again.
    """
    count = getattr(model.config, "num_hidden_layers", None)
    for part in model.modules():
        if isinstance(part, nn.ModuleList) and len(part) == count:
            return part
    raise UsageError(f"a {model.config.model_type} model has no list of layers: freeze is 0 or -1 there")


def _first_layers(model: Any, count: int) -> list[nn.Module]:
    """The embeddings and the first layers of a model; -1 is all of it."""
    if count == -1:
        return [model]
    if count == 0:
        return []
    layers = _layers(model)
    if not 0 < count <= len(layers):
        raise UsageError(f"freeze {count}: the model has {len(layers)} layers; -1 freezes all of it")
    return [getattr(model, "embeddings", None) or model.get_input_embeddings(), *layers[:count]]


def _adapt(model: Any, config: TextEncoderConfig) -> None:
    """Add low-rank updates to the projections of attention, and freeze all else."""
    names = {name.rsplit(".", 1)[-1] for name, part in model.named_modules() if isinstance(part, nn.Linear)}
    chosen = sorted(names & _PROJECTIONS)
    if not chosen:
        raise UsageError(f"a {model.config.model_type} model has no projections of attention that lora knows")
    if config.freeze == -1:
        raise UsageError("freeze -1 trains nothing of the model, lora some of it: choose one of the two")
    settings = peft.LoraConfig(r=config.lora, lora_alpha=2 * config.lora, target_modules=chosen, bias="none")
    peft.inject_adapter_in_model(settings, model)
