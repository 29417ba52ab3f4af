"""What a text is: importable without torch, so that the command line stays quick."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class TextConfig:
    """How reports become token sequences.

    Args:
        draw: what one draw from a report is: a `sentence`, a `section`, or the `whole` report.
        sections: names of the sections that count, such as [FINDINGS, IMPRESSION]; empty takes all of the report.
        length: tokens of a sequence at most; what is over is cut off at the end.
        words: fewest words of a sentence that is drawn; shorter ones ("Unchanged.") are joined to the one before.
    """

    draw: Literal["sentence", "section", "whole"] = "sentence"
    sections: tuple[str, ...] = ()
    length: int = 64
    words: int = 3


@dataclass(frozen=True)
class TextViewsConfig:
    """Random changes of a text, beside the draw of another sentence or section.

    Args:
        word_crop: range of the share of the words, one behind the other, that is kept.
        word_dropout: probability by which a word is left out.
        sentence_crop: range of the share of the sentences, one behind the other, that is kept; no sentence is cut.
        sentence_sample: range of the share of the sentences that is kept, drawn at random and put in a random order;
            none keeps all as they are, and (1, 1) changes their order alone.
    """

    word_crop: tuple[float, float] = (1.0, 1.0)
    word_dropout: float = 0.0
    sentence_crop: tuple[float, float] = (1.0, 1.0)
    sentence_sample: tuple[float, float] | None = None


@dataclass(frozen=True)
class TextEncoderConfig:
    """What turns token sequences into embeddings.

    Args:
        name: `transformer`, trained from scratch with a tokenizer that is trained on the reports themselves; `lsa`, a
            bag of such tokens that begins with a latent semantic analysis of the training reports; or the folder or hub
            name of a transformers model. Hub names are looked up in the local cache only, unless `download` is set.
        dim: width of the embedding; a transformers model of another width gets a linear map on top.
        hidden: width of the layers of `transformer`, a multiple of 32.
        depth: layers of `transformer`.
        dropout: of `transformer` and `lsa`.
        vocabulary: largest number of tokens of the tokenizer of `transformer` and `lsa`.
        patients: of that tokenizer, in the reports of how many patients a word has to occur to be learned: a name that
            de-identification missed is a word of few, and weights with their vocabulary are made to be shared. Words
            of name fields are never learned. What is not learned is spelled in pieces.
        pooling: how the tokens' embeddings become one vector: `mean`, `max`, or `cls`, the first token's; or `latent`,
            the mean after each token has attended to learned latents (NV-Embed).
        latents: learned latents of `latent`.
        freeze: of a transformers model, how many of its first layers are not trained, its token embeddings among
            them; ConVIRT freezes 6 of 12. -1 freezes all of it.
        lora: rank of the low-rank updates (peft) by which a transformers model is trained; 0 trains its weights.
        download: whether a hub name may be fetched from the network.
    """

    name: str = "transformer"
    dim: int = 128
    hidden: int = 128
    depth: int = 2
    dropout: float = 0.1
    vocabulary: int = 8000
    patients: int = 5
    pooling: Literal["mean", "max", "cls", "latent"] = "mean"
    latents: int = 32
    freeze: int = 0
    lora: int = 0
    download: bool = False
