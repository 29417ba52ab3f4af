"""What an encoder of tables expects, kept beside its weights so that it can be rebuilt and fed."""

from dataclasses import dataclass
from typing import Any

from medcl.modality.table.config import TableConfig, TableEncoderConfig
from medcl.modality.table.encoders.base import TableEncoder
from medcl.modality.table.encoders.build import build


@dataclass(frozen=True)
class TableCard:
    """What an encoder of tables expects.

    Args:
        encoder: the network's configuration.
        data: the complete `TableConfig` by which tables became samples, as a dictionary.
    """

    encoder: TableEncoderConfig
    data: dict[str, Any]

    def build(self) -> TableEncoder:
        """The network that the card describes, with new random weights."""
        return build(self.encoder, TableConfig(**self.data).n_classes)
