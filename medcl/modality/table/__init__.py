"""Tables: numbers and categories of patients, studies and stays."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from medcl.errors import UsageError
from medcl.modality.base import Training, Wing, plain
from medcl.modality.baselines import Baseline
from medcl.modality.miniature import Miniature
from medcl.modality.rows import Rows, Source
from medcl.modality.storing import DecodedRecord, LabelMap
from medcl.modality.table.config import TableConfig, TableEncoderConfig, TableViewsConfig

if TYPE_CHECKING:
    from medcl.modality.table.encoders import TableCard
    from medcl.modality.table.prepare import TableStore
    from medcl.modality.views import Compose

_WIDTH = 300  # pixels of a card


class TableWing(Wing):
    """See `Wing`."""

    name = "table"
    plural = "tables"
    examples = "tables (laboratory values, clinical columns, omics)"
    unit = "table"
    sample = "samples"
    no_sample = "no value in a window"
    unlinked = "tables have no partner"
    columns = ("part",)
    reads_files = True
    shows_samples = False
    takes_arrays = True
    has_slices = False
    first_recipes = {"": "table_simclr"}
    config = TableConfig
    encoder_config = TableEncoderConfig
    views_config = TableViewsConfig

    @property
    def spec(self) -> type["TableCard"]:
        """Of trained encoders."""
        from medcl.modality.table.encoders import TableCard

        return TableCard

    def check(self, config: TableConfig, encoder: TableEncoderConfig) -> None:
        """Refuse invalid settings; those of an encoder are known by its network."""
        config.check()

    def completed(self, config: TableConfig, manifest: Rows, training: Training) -> TableConfig:
        """The configuration with variables, units and classes of all records, and the scale of those trained on.

        An encoder that training begins with brings all of them.
        """
        from medcl.modality.table.prepare import fitted, resolve, tables

        if training.begun is not None:
            begun = self.data_of(training.begun)
            return replace(begun, window=config.window, start=config.start, stride=config.stride, step=config.step)
        config = resolve(tables(manifest), config)
        return fitted(tables(training.chosen), config) if config.scale is None else config

    def decode(self, source: Source, config: TableConfig, masks: Sequence[LabelMap | None]) -> DecodedRecord:
        """Decode one table."""
        from medcl.modality.table.formats.tables import read_table
        from medcl.modality.table.prepare import decode

        return decode(read_table(source.file, source.part), config)

    def original(self, source: Source, axis: int | None) -> list[Any]:
        """A table, (variables, rows) as stated."""
        from medcl.modality.table.formats.tables import read_table

        return [read_table(source.file, source.part).values.T]

    def thumbnails(self, source: Source, pieces: Sequence[float | None], axis: int, width: int) -> list[Miniature]:
        """The card of a table, once for each piece."""
        from medcl.modality.table.formats.tables import read_table
        from medcl.modality.table.thumbnail import card

        return [Miniature(drawn=card(read_table(source.file, source.part), width or _WIDTH))] * len(pieces)

    def views(self, config: TableViewsConfig, data: TableConfig, store: "TableStore") -> "Compose":
        """Random changes of samples."""
        from medcl.modality.table.views import build

        return build(config, replace(data, columns=store.columns, classes=store.classes).n_classes)

    def spec_of(
        self, encoder: TableEncoderConfig, data: TableConfig, store: "TableStore", modality: str
    ) -> "TableCard":
        """What an encoder expects that is trained on prepared tables.

        Raises:
            UsageError: the configuration has no scale.
        """
        if data.scale is None or data.columns is None or data.classes is None:
            raise UsageError("data.scale: an encoder is kept with the scale of its training records, see TableSamples")
        return self.spec(encoder, plain(data))

    def data_of(self, spec: "TableCard") -> TableConfig:
        """Samples as in pretraining; windows side by side."""
        data = TableConfig(**spec.data)
        return data if data.stride is None else replace(data, stride=data.window)

    def baselines(self, config: TableConfig) -> dict[str, Baseline]:
        """The columns themselves."""
        from medcl.modality.table.baselines import baselines

        return baselines(config)
