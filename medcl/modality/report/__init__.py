"""Reports: text of radiologists and others, its sections and sentences."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from medcl.modality.base import Training, Wing, frozen, plain
from medcl.modality.baselines import Baseline
from medcl.modality.miniature import Miniature
from medcl.modality.report.config import TextConfig, TextEncoderConfig, TextViewsConfig
from medcl.modality.rows import Rows, Source

if TYPE_CHECKING:
    from medcl.modality.report.encoders import TextEncoder
    from medcl.modality.report.prepare import ReportStore, TokenisedConfig
    from medcl.modality.spec import TextCard
    from medcl.modality.views import Compose

LETTERS = 600
"""Of a report that is shown, at most."""


class ReportWing(Wing):
    """See `medcl.modality.base.Wing`. What is prepared and read takes a `TokenisedConfig`, which `completed` gives."""

    name = "report"
    plural = "reports"
    examples = "reports"
    unit = "report"
    sample = "texts"
    no_sample = "not prepared"
    unlinked = "reports describe nothing that is trained on"
    columns = ("report",)
    reads_files = False
    shows_samples = False
    takes_arrays = False
    has_slices = False
    first_recipes = {"": "report_simclr"}
    config = TextConfig
    encoder_config = TextEncoderConfig
    views_config = TextViewsConfig

    @property
    def spec(self) -> type["TextCard"]:
        """Of trained encoders."""
        from medcl.modality.spec import TextCard

        return TextCard

    def check(self, config: TextConfig, encoder: TextEncoderConfig) -> None:
        """Refuse invalid settings."""
        from medcl.modality.report.text import check

        check(config)

    def has_weights(self, encoder: TextEncoderConfig) -> bool:
        """Whether it is a transformers model or begins with an analysis of the reports."""
        return encoder.name != "transformer"

    def completed(self, config: TextConfig, manifest: Rows, training: Training) -> "TokenisedConfig":
        """The configuration with a tokenizer.

        It is that of the encoder that training begins with, that of a transformers model, or one that is trained on the
        chosen reports alone.
        """
        from medcl.modality.report.encoders import OF_REPORTS
        from medcl.modality.report.encoders.tokens import Tokenizer, common_words
        from medcl.modality.report.prepare import TokenisedConfig

        encoder: TextEncoderConfig = training.encoder
        if training.begun is not None:
            begun: Any = training.begun
            tokenizer = Tokenizer.from_json(begun.tokenizer)
        elif encoder.name not in OF_REPORTS:
            tokenizer = Tokenizer.of_model(encoder.name, encoder.download)
        else:
            chosen = training.chosen
            columns = zip(chosen.column("report"), chosen.column("patient").tolist(), strict=True)
            texts, patients = zip(*((str(one), patient) for one, patient in columns if one is not None), strict=True)
            common = common_words(texts, np.array(patients, dtype=np.int64), encoder.patients, training.is_name())
            tokenizer = Tokenizer.train(common, encoder.vocabulary)
        return TokenisedConfig.of(config, tokenizer, tokenizer.fingerprint)

    def original(self, source: Source, axis: int | None) -> list[Any]:
        """The text of a report."""
        return [str(source.row["report"] or "")]

    def thumbnails(self, source: Source, pieces: Sequence[float | None], axis: int, width: int) -> list[Miniature]:
        """The beginning of the text."""
        text = " ".join(str(source.row["report"] or "").split())
        if not text:
            return [Miniature(missing="the manifest holds no text of this report")] * len(pieces)
        short = text if len(text) <= LETTERS else text[: LETTERS - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"
        return [Miniature(text=short)] * len(pieces)

    def views(self, config: TextViewsConfig, data: "TokenisedConfig", store: "ReportStore") -> "Compose | None":
        """Random changes of texts; None where there are none."""
        if config == TextViewsConfig():
            return None
        from medcl.modality.report.rewriting import SentenceTokens
        from medcl.modality.report.views import SentenceCrop, SentenceSample, WordCrop, WordDropout
        from medcl.modality.views import Compose

        tokenizer: Any = data.encode
        special = tuple(tokenizer.special)
        crop = [WordCrop(special, config.word_crop)] if config.word_crop != (1.0, 1.0) else []
        dropout = [WordDropout(special, config.word_dropout)] if config.word_dropout else []
        sentences = SentenceTokens(tokenizer, data.length)
        whole, drawn = config.sentence_crop == (1.0, 1.0), config.sentence_sample
        # The sentences of a text as it was are looked up, those of one that changed already are found anew.
        sample = [] if drawn is None else [SentenceSample(special, drawn, sentences)]
        spans = [] if whole else [SentenceCrop(special, config.sentence_crop, sentences)]
        return Compose([*sample, *spans, *crop, *dropout])

    def spec_of(
        self, encoder: TextEncoderConfig, data: "TokenisedConfig", store: "ReportStore", modality: str
    ) -> "TextCard":
        """What an encoder expects that is trained on prepared reports."""
        from medcl.modality.report import encoders as build

        tokenizer: Any = data.encode
        # Of a transformers model, the specification keeps what the built network says it is.
        own = encoder.name in build.OF_REPORTS
        architecture = None if own else build.build(encoder, tokenizer).architecture
        return self.spec(encoder, tokenizer.to_json(), architecture, plain(data.text))

    def data_of(self, spec: "TextCard") -> "TokenisedConfig":
        """The whole report, whatever was drawn from it in pretraining."""
        return replace(self.reading(spec), draw="whole")

    def reading(self, spec: "TextCard") -> "TokenisedConfig":
        """What an encoder was trained to read, with its tokenizer."""
        from medcl.modality.report.encoders.tokens import Tokenizer
        from medcl.modality.report.prepare import TokenisedConfig

        tokenizer = Tokenizer.from_json(spec.tokenizer)
        return TokenisedConfig.of(TextConfig(**frozen(spec.data)), tokenizer, tokenizer.fingerprint)

    def encoder(self, spec: "TextCard", samples: Any = None) -> "TextEncoder":
        """A network with new random weights, those of a transformers model, or those that the reports give it."""
        from medcl.modality.report.encoders import LatentSemanticEncoder, build
        from medcl.modality.report.encoders.tokens import Tokenizer

        network = build(spec.encoder, Tokenizer.from_json(spec.tokenizer))
        if samples is not None and isinstance(network, LatentSemanticEncoder):
            numbers = np.arange(len(samples.rows))
            network.fit([samples.read(some) for some in np.array_split(numbers, len(numbers) // 1024 + 1)])
        return network

    def baselines(self, config: TextConfig) -> dict[str, Baseline]:
        """Words, weighted by their rarity."""
        from medcl.modality.report.baselines import baselines

        return baselines(config)
