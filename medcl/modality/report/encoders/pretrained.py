"""An encoder of texts from a transformers model: where the model is, what is read of it, and how much of it is trained.

The model is a folder, or a hub name in the local cache. Nothing is fetched unless it is asked for, no code that comes
with a model is run, and weights are read from safetensors only: a checkpoint of another format could run code as well.
A hub name becomes a folder first, since transformers itself asks the network for some files even where it is told to
use local ones.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, cast

import peft
import tokenizers
import torch
import transformers
from huggingface_hub import constants, snapshot_download
from torch import Tensor, nn
from transformers.utils import logging

from medcl.errors import MedclError, UsageError, cause
from medcl.modality.report.config import TextEncoderConfig
from medcl.modality.report.encoders import TextEncoder
from medcl.modality.report.encoders.tokens import Tokenizer

_NEEDS = "the folder needs config.json, tokenizer.json and model.safetensors"
_READ = ["*.json", "*.txt", "*.model", "*.safetensors"]
_UNUSED = ("pooler.", "embeddings.position_ids")
"""What a checkpoint may lack: a layer that is not part of the embedding, and the numbers 0, 1, 2..."""
_ELSEWHERE = ("_name_or_path", "auto_map")
"""What a configuration says of where it came from and of code next to it."""


def find(name: str, download: bool) -> Path:
    """The folder of a model.

    Args:
        name: a folder, or a hub name that is looked up in the local cache.
        download: whether a hub name may be fetched from the network.

    Raises:
        MedclError: there is no such model; the message says where it was looked for.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise MedclError(f"{folder.absolute()}: not the folder of a transformers model: {_NEEDS}")
        return folder
    if not name or name.startswith(("/", ".", "~")) or name.count("/") > 1:
        raise MedclError(f"{folder.absolute()}: there is no such folder of a transformers model: {_NEEDS}")
    try:
        # Not what lies in folders of the model: the same weights for other programs.
        found = snapshot_download(name, local_files_only=not download, allow_patterns=_READ, ignore_patterns=["*/*"])
    except (OSError, ValueError) as error:
        if download:
            raise MedclError(
                f"{name}: this hub name cannot be fetched ({cause(error)}): is there a network? Else give the "
                "folder of a copy"
            ) from error
        raise MedclError(
            f"{name}: there is neither a folder {folder.absolute()} nor a model of this hub name in the cache "
            f"{constants.HF_HUB_CACHE}: give the folder of a copy, or set download to true to fetch it once"
        ) from error
    return Path(found)


def read_tokenizer(name: str, download: bool) -> tuple[tokenizers.Tokenizer, int]:
    """The fast tokenizer of a model, and the id of its padding.

    Raises:
        MedclError: there is no such model, or its files cannot be read.
        UsageError: the model has no fast tokenizer, or none that pads.
    """
    found = read(transformers.AutoTokenizer.from_pretrained, find(name, download), "tokenizer", use_fast=True)
    inner = getattr(found, "backend_tokenizer", None)
    if not isinstance(inner, tokenizers.Tokenizer):
        raise UsageError(f"{name}: has no fast tokenizer (tokenizer.json): choose a model that has one")
    if found.pad_token_id is None:
        raise UsageError(f"{name}: its tokenizer has no padding, which every encoder of texts has: choose another one")
    return inner, int(found.pad_token_id)


def read_model(name: str, download: bool) -> Any:
    """The network of a model with its weights, in float32.

    Raises:
        MedclError: there is no such model, its weights cannot be read, or some are missing.
        UsageError: it is no encoder of texts.
    """
    folder = find(name, download)
    if not any(folder.glob("*.safetensors")):
        raise MedclError(
            f"{folder.absolute()}: holds no weights as .safetensors; those of another format can run code when they "
            "are opened and are not read: convert them where they are trusted (save_pretrained of transformers)"
        )
    with _without_progress():
        model, about = read(
            transformers.AutoModel.from_pretrained, folder, "network", use_safetensors=True, output_loading_info=True
        )
    absent = sorted(key for key in about["missing_keys"] if not key.startswith(_UNUSED))
    if absent:
        raise MedclError(f"{name}: its checkpoint lacks {len(absent)} weights of the network, such as {absent[0]}")
    return _encoder(model, name)


def describe(model: Any) -> str:
    """JSON that rebuilds a network, without its weights and without where it came from."""
    fields = json.loads(model.config.to_json_string(use_diff=False))
    return json.dumps({key: value for key, value in fields.items() if key not in _ELSEWHERE})


def rebuild(architecture: str) -> Any:
    """The network that `describe` wrote down, with random weights; neither disk nor network is needed.

    Raises:
        UsageError: not the JSON of a transformers configuration of an encoder of texts.
    """
    try:
        fields = {key: value for key, value in json.loads(architecture).items() if key not in _ELSEWHERE}
        config = transformers.AutoConfig.for_model(fields.pop("model_type"), **fields)
        from_config = cast(Callable[..., Any], transformers.AutoModel.from_config)
        return _encoder(from_config(config, trust_remote_code=False), "the card")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"not the architecture of a transformers model: {cause(error)}") from error


def _encoder(model: Any, name: str) -> Any:
    if model.config.is_encoder_decoder or not isinstance(model.get_input_embeddings(), nn.Embedding):
        raise UsageError(f"{name}: a {model.config.model_type} model is no encoder of texts: choose one like BERT")
    if isinstance(getattr(model, "pooler", None), nn.Module):
        model.pooler = None  # Trained for another task, and not part of what is pooled here.
    return model.float()


def read(reader: Callable[..., Any], folder: Path, what: str, **settings: Any) -> Any:
    """What a reader of transformers makes of a folder, from local files and without its code.

    Raises:
        MedclError: it cannot be read.
    """
    try:
        return reader(str(folder), local_files_only=True, trust_remote_code=False, **settings)
    # A damaged file can end in any of these, and in a bare Exception of the libraries beneath.
    except Exception as error:
        raise MedclError(
            f"{folder.absolute()}: the {what} of the transformers model cannot be read ({cause(error)}): {_NEEDS}"
        ) from error


@contextmanager
def _without_progress() -> Iterator[None]:
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


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
