"""Where a transformers model is, a folder or the local cache of hub names, and what is read from there.

Nothing is fetched unless it is asked for, no code that comes with a model is run, and weights are read from safetensors
only: a checkpoint of another format could run code as well. A hub name becomes a folder first, since transformers
itself asks the network for some files even where it is told to use local ones.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import tokenizers
import transformers
from huggingface_hub import constants, snapshot_download
from torch import nn
from transformers.utils import logging

from medcl.errors import MedclError, UsageError, cause

T = TypeVar("T")
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
    found = _read(transformers.AutoTokenizer.from_pretrained, find(name, download), "tokenizer", use_fast=True)
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
        model, about = _read(
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


def _read(read: Callable[..., Any], folder: Path, what: str, **settings: Any) -> Any:
    try:
        return read(str(folder), local_files_only=True, trust_remote_code=False, **settings)
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
