"""Text encoders: `build` makes one from its configuration."""

from medcl.errors import UsageError
from medcl.modality.report.config import TextEncoderConfig
from medcl.modality.report.encoders.tokens import Tokenizer
from medcl.modality.report.encoders.transformer import TextEncoder, TransformerTextEncoder

__all__ = ["FROM_SCRATCH", "TextEncoder", "build"]

FROM_SCRATCH = "transformer"
"""The encoder that is trained from nothing, with a tokenizer of the reports themselves; other names are models'."""


def build(config: TextEncoderConfig, tokenizer: Tokenizer, architecture: str | None = None) -> TextEncoder:
    """Make the encoder that a configuration describes.

    Args:
        config: which encoder, and its sizes.
        tokenizer: whose ids it takes: trained on the reports for `transformer`, else `Tokenizer.of_model`.
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
    if config.pooling not in ("mean", "max", "cls"):
        raise UsageError(f"a text encoder pools by 'mean', 'max' or 'cls', got pooling={config.pooling!r}")
    if config.freeze < -1 or config.lora < 0:
        raise UsageError(
            f"freeze is a number of layers or -1, lora a rank or 0, got freeze={config.freeze}, lora={config.lora}"
        )
    if config.name == FROM_SCRATCH:
        return TransformerTextEncoder(config, tokenizer)
    # Only where it is asked for: the import of transformers takes seconds.
    from medcl.modality.report.encoders.pretrained import PretrainedTextEncoder

    return PretrainedTextEncoder(config, tokenizer, architecture)
