"""Words as numbers: a tokenizer trained on the reports themselves, or the one of a transformers model."""

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Self

import numpy as np
import tokenizers
from numpy.typing import NDArray
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, processors, trainers

from medcl.errors import UsageError

_WORD = re.compile(r"[^\W\d_]+|\d+")


def common_words(
    texts: Sequence[str], patients: NDArray[np.int64], least: int, is_name: Callable[[str], bool]
) -> list[str]:
    """Texts in small letters without words that too few patients have, and without names.

    A name that de-identification missed is a word of one patient, or of few. What is left out is only not learned as a
    token: a tokenizer spells it in pieces. `patients` are (N,) codes, of which all unknown ones (-1) count as one;
    `least` patients have to have a word in their texts, 1 keeps all but names.

    Raises:
        UsageError: no patient is asked for, or no word is left.
    """
    if least < 1:
        raise UsageError(f"patients={least}: a word of the vocabulary occurs in the reports of at least 1 patient")
    texts = [unicodedata.normalize("NFC", text).lower() for text in texts]
    counts: dict[str, int] = {}
    last: dict[str, int] = {}
    # By patient, so that for each word its last patient is all that is remembered.
    for row in np.argsort(patients, kind="stable").tolist():
        patient = int(patients[row])
        for word in set(_WORD.findall(texts[row])):
            if last.get(word) != patient:
                last[word] = patient
                counts[word] = counts.get(word, 0) + 1
    kept = {word for word, count in counts.items() if count >= least and not is_name(word)}
    if not kept and counts:
        raise UsageError(
            f"no word occurs in the reports of {least} patients, so that no vocabulary can be learned: lower "
            "report.encoder.patients, or take a pretrained encoder"
        )
    return [_WORD.sub(lambda match: match[0] if match[0] in kept else " ", text) for text in texts]


PADDING, UNKNOWN, START, END = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
_SPECIAL = (PADDING, UNKNOWN, START, END)
_LEAST = len(_SPECIAL) + 256
"""The special tokens, and one token for each byte, so that no text holds anything unknown."""
_SHORTEST = 3
"""Tokens of a sequence: the first and the last are special, and one word has to stand between them."""


class Tokenizer:
    """Texts to sequences of token ids, in which 0 is padding and nothing else.

    The padding of a transformers model may have another id (RoBERTa's is 1, and 0 begins a sequence). There the two ids
    change places: what this class gives and takes has padding at 0, and `padding` says where the model has it, so
    that an encoder changes them back before it looks up its embeddings.

    Special tokens are only those that this class puts around a text: one that is written in a report ("[SEP]") is text.

    Args:
        inner: puts its special tokens around a text by itself.
        padding: id of the padding in `inner`.
    """

    def __init__(self, inner: tokenizers.Tokenizer, padding: int = 0) -> None:
        inner.no_padding()
        inner.no_truncation()
        inner.encode_special_tokens = True
        fields = json.loads(inner.to_str())
        self._json = json.dumps({"padding": padding, "tokenizer": fields}, ensure_ascii=False)
        self._inner = inner
        self._length: int | None = None
        self.padding = padding
        model = fields["model"]
        unknown = model.get("unk_id", inner.token_to_id(model.get("unk_token") or ""))
        own = {id for id, token in inner.get_added_tokens_decoder().items() if token.special and id != unknown}
        self.special: tuple[int, ...] = tuple(sorted({self._swapped(id) for id in own} | {0}))
        """Ids that stand for no word, padding among them. The token of unknown words does stand for one."""
        self.size: int = max(inner.get_vocab(with_added_tokens=True).values()) + 1
        """One more than the largest id."""

    @classmethod
    def train(cls, texts: Iterable[str], vocabulary: int) -> Self:
        """Learn the tokens of a language from texts in it.

        Byte-pair encoding (Sennrich et al. 2016) over bytes, as in GPT-2: a small corpus gives whole words where they
        are frequent, and no word of any language is unknown. Letters are made small and runs of white space one space;
        umlauts and accents stay. What is learned depends on how often each word occurs and on nothing else: neither
        the order of the texts nor the number of cores.

        Args:
            texts: to learn from.
            vocabulary: largest number of tokens; fewer where the texts do not repeat more parts of words.

        Raises:
            UsageError: no word in the texts, or a vocabulary that does not even hold single bytes.
        """
        if vocabulary < _LEAST:
            raise UsageError(f"a vocabulary of {vocabulary} tokens: {_LEAST} are needed for single bytes alone")
        inner = tokenizers.Tokenizer(models.BPE(unk_token=UNKNOWN))
        inner.normalizer = normalizers.Sequence(
            [normalizers.NFC(), normalizers.Lowercase(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
        )
        inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        inner.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocabulary,
            min_frequency=2,
            special_tokens=list(_SPECIAL),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        some = False

        def read() -> Iterable[str]:
            nonlocal some
            for text in texts:
                some = some or bool(text.strip())
                yield text

        inner.train_from_iterator(read(), trainer)
        if not some:
            raise UsageError("no word to train a tokenizer on: all texts are empty")
        inner.post_processor = processors.TemplateProcessing(
            single=f"{START} $A {END}", special_tokens=[(name, inner.token_to_id(name)) for name in (START, END)]
        )
        return cls(inner)

    @classmethod
    def of_model(cls, name: str, download: bool = False) -> Self:
        """The tokenizer of a transformers model.

        Args:
            name: a folder, or a hub name that is looked up in the local cache.
            download: whether a hub name may be fetched from the network.

        Raises:
            MedclError: there is no such model, or its files cannot be read.
            UsageError: the model has no fast tokenizer, or none that pads.
        """
        # Only where it is asked for: the import of transformers takes seconds.
        from medcl.modality.report.encoders.pretrained import read_tokenizer

        return cls(*read_tokenizer(name, download))

    def to_json(self) -> str:
        """The tokenizer as one text that needs no other file."""
        return self._json

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises:
            ValueError: not JSON, or not of a tokenizer.
        """
        try:
            fields = json.loads(text)
        except RecursionError as error:
            raise ValueError("not the JSON of a tokenizer: nested too deeply") from error
        if not isinstance(fields, dict) or not {"padding", "tokenizer"} <= fields.keys():
            raise ValueError("not the JSON of a tokenizer: it has no 'padding' and 'tokenizer'")
        try:
            inner = tokenizers.Tokenizer.from_str(json.dumps(fields["tokenizer"]))
        except Exception as error:  # The library raises nothing more specific.
            raise ValueError("not the JSON of a tokenizer: the library cannot read it") from error
        return cls(inner, int(fields["padding"]))

    def __reduce__(self) -> tuple[type[Self], tuple[tokenizers.Tokenizer, int]]:
        return type(self), (self._inner, self.padding)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits: tokenizers with the same ones give the same ids for every text."""
        return hashlib.blake2b(self._json.encode(), digest_size=8).hexdigest()

    def encode_many(self, texts: Sequence[str], length: int) -> list[list[int]]:
        """Turn texts into ids, each with a special token before and behind where the tokenizer has them.

        Args:
            texts: N of them.
            length: tokens at most, the special ones among them; the end of a longer text is cut off.

        Returns:
            N lists of at most `length` ids, without padding.

        Raises:
            UsageError: a length in which no word fits.
        """
        if length < _SHORTEST:
            raise UsageError(f"sequences of {length} tokens hold no word: at least {_SHORTEST} are needed")
        if length != self._length:
            self._inner.enable_truncation(length)
            self._length = length
        found = [encoding.ids for encoding in self._inner.encode_batch_fast(list(texts))]
        return [[self._swapped(id) for id in ids] for ids in found] if self.padding else found

    def __call__(self, texts: Sequence[str], length: int) -> NDArray[np.int32]:
        """Turn texts into ids, see `encode_many`.

        Returns:
            (N, L) ids, 0 behind the end of a text; L is the length of the longest one, at most `length`.
        """
        found = self.encode_many(texts, length)
        sizes = np.fromiter(map(len, found), dtype=np.int64, count=len(found))
        ids = np.zeros((len(found), int(sizes.max(initial=0))), dtype=np.int32)
        ids[np.arange(ids.shape[1]) < sizes[:, None]] = [id for one in found for id in one]
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """The text of a sequence of ids, as the tokenizer normalised it and without the special tokens."""
        words = [self._swapped(int(id)) for id in ids if int(id) not in self.special]
        return str(self._inner.decode(words, skip_special_tokens=False)).strip()

    def _swapped(self, id: int) -> int:
        """Padding at its own place and at 0 change places; this undoes itself."""
        return self.padding if id == 0 else 0 if id == self.padding else id
