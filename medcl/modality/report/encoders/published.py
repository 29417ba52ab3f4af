"""A published sentence encoder as its folder describes it: of its own width, with its pooling and its longest text."""

import json
from pathlib import Path
from typing import Any, Literal

import transformers

from medcl.errors import MedclError, UsageError, cause
from medcl.modality.report.config import TextEncoderConfig
from medcl.modality.report.encoders import TextEncoder
from medcl.modality.report.encoders.pretrained import PretrainedTextEncoder, find, read
from medcl.modality.report.encoders.tokens import Tokenizer

LONGEST = 512
"""Tokens of a text at most, where a folder allows more or does not say."""
_MODULES = ("Transformer", "Pooling", "Normalize")
"""Of sentence-transformers, those that are read: cosines need no vectors of length 1."""
_POOLINGS: dict[str, Literal["mean", "max", "cls"]] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
}


def published(name: str) -> tuple[TextEncoder, int]:
    """A transformers model that embeds texts as it was published.

    Of a folder of sentence-transformers its pooling and its longest text are used; others pool by the mean.

    Args:
        name: a folder, or a hub name that is looked up in the local cache.

    Returns:
        The encoder, in evaluation mode, on the CPU; and how many tokens of a text it reads.

    Raises:
        MedclError: there is no such model, or it cannot be read.
        UsageError: it is no encoder of texts, or has parts that are not read.
    """
    folder = find(name, download=False)
    modules = [str(one.get("type", "")).rpartition(".")[2] for one in _said(folder / "modules.json", [])]
    strange = [one for one in modules if one not in _MODULES]
    if strange:
        raise UsageError(f"{name}: has a module {strange[0]}, which is not read; {', '.join(_MODULES)} are")
    said = _said(folder / "1_Pooling" / "config.json", {"pooling_mode_mean_tokens": True})
    used = [key for key, value in said.items() if key.startswith("pooling_mode") and value]
    if len(used) != 1 or used[0] not in _POOLINGS:
        raise UsageError(f"{name}: pools by {', '.join(used) or 'nothing'}; one of {', '.join(_POOLINGS)} is read")
    width = int(read(transformers.AutoConfig.from_pretrained, folder, "configuration").hidden_size)
    config = TextEncoderConfig(name=name, dim=width, pooling=_POOLINGS[used[0]])
    encoder = PretrainedTextEncoder(config, Tokenizer.of_model(name)).eval()
    said = _said(folder / "sentence_bert_config.json", {})
    return encoder, min(LONGEST, encoder.longest or LONGEST, said.get("max_seq_length") or LONGEST)


def _said(path: Path, otherwise: Any) -> Any:
    """What a file of JSON says, which need not be there."""
    if not path.is_file():
        return otherwise
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise MedclError(f"{path}: cannot be read as JSON ({cause(error)})") from error
