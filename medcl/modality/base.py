"""The contract of a modality: everything that differs between signals, volumes, images, reports and tables.

Everything outside `medcl.modality` talks to `Wing`. Importable without torch, so that the command line stays quick: a
wing imports what it needs inside its methods. What it needs of a manifest or of a store comes in as an argument.
"""

import importlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from medcl.modality.baselines import Baseline
from medcl.modality.miniature import Miniature
from medcl.modality.rows import Rows, Source
from medcl.modality.sampling import Draws, LevelSamples, Numbered, SampleSet
from medcl.modality.storing import DecodedRecord, LabelMap, Preparation, StoredArrays, StoreIndex

if TYPE_CHECKING:
    from torch import Tensor, nn

    from medcl.modality.preprocessing import Preprocessing
    from medcl.modality.views import Compose


def plain(config: Any) -> dict[str, Any]:
    """A configuration (dataclass) as YAML and JSON hold it: dictionaries, lists and scalars."""
    return dict(json.loads(json.dumps(asdict(config))))


def frozen(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Lists, as JSON has them, are tuples in a configuration."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}


@dataclass(frozen=True)
class Training:
    """What a sample configuration can be completed from, before records are prepared.

    Args:
        encoder: the encoder's configuration.
        chosen: the records of this wing that are trained on.
        begun: the spec of the encoder that training begins with, if any.
        is_name: whether a word is one of the archive's name fields, which no vocabulary learns.
    """

    encoder: Any
    chosen: Rows
    begun: Any | None
    is_name: Callable[[], Callable[[str], bool]]


class Wing(ABC):
    """One modality, in a folder of its own. `medcl.modality.wing(name)` gives it.

    What is the same in all wings is done here by the modules of the folder: `prepare` has `INDEX`, `preparation`,
    `decode` and `opened`, `samples` has `samples`.
    """

    name: str
    """As the manifest and recipes have it: `signal`."""
    plural: str
    """Its records in words: `recordings`."""
    examples: str
    """The same with examples: `recordings (ECG, EEG)`."""
    unit: str
    """One of its records in words: `recording`."""
    sample: str
    """A sample of a record in words, in the plural: `windows`."""
    no_sample: str
    """Why a record that is not in quarantine has no sample."""
    unlinked: str
    """What records without a partner are called in counts: `recordings have no partner`."""
    columns: tuple[str, ...]
    """Of the manifest, that reading a record needs beside its files."""
    reads_files: bool
    """Whether a record is read from its files, which then have to be those that were scanned."""
    shows_samples: bool
    """Whether a sample, as its encoder takes it, is an image that a page can show: (channels, rows, columns)."""
    takes_arrays: bool
    """Whether a sample is an array of numbers, so that an encoder may be any network of the user's own."""
    has_slices: bool
    """Whether a record can be cut into slices across an axis (`original`)."""

    first_recipes: Mapping[str, str] = {}
    """Modality of the manifest -> shipped recipe to begin with; `""` for all others, `report` where there are texts."""

    config: type[Any]
    """Of samples."""
    encoder_config: type[Any]
    """Of encoders."""
    views_config: type[Any]
    """Of random changes."""

    def first_recipe(self, modality: str, manifest: Callable[[], Rows]) -> str:
        """A shipped recipe to begin with.

        Args:
            modality: of most of the records, as the manifest has it.
            manifest: opens the records.

        Returns:
            Its name, or a stand-in where there is none.
        """
        return self.first_recipes.get(modality) or self.first_recipes.get("", "RECIPE")

    def _part(self, module: str) -> Any:
        """A module of the wing's folder, imported when it is first asked for."""
        return importlib.import_module(f"{type(self).__module__}.{module}")

    @property
    def index(self) -> StoreIndex:
        """Of its stores."""
        found: StoreIndex = self._part("prepare").INDEX
        return found

    @property
    @abstractmethod
    def spec(self) -> type[Any]:
        """Of trained encoders; a dataclass with `encoder` and `build`."""

    @abstractmethod
    def check(self, config: Any, encoder: Any) -> None:
        """Refuse a sample and an encoder configuration that are invalid or do not fit, before anything is read.

        Raises:
            UsageError: with the field and its value.
        """

    def default_encoder(self, config: Any) -> Any:
        """The encoder's configuration where a recipe says nothing of it, for samples of a configuration."""
        return self.encoder_config()

    def sketch(self, config: Any, encoder: Any) -> "tuple[nn.Module, tuple[int, ...]] | None":
        """An encoder and the shape of a sample (C, ...) where both follow from settings; None: the archive decides."""
        return None

    def has_weights(self, encoder: Any) -> bool:
        """Whether an encoder begins with published or fitted weights, not with random ones; by default none does."""
        return False

    def completed(self, config: Any, manifest: Rows, training: Training) -> Any:
        """The sample configuration with what it leaves to the archive: by default nothing, else channels, a tokenizer.

        Args:
            config: of samples.
            manifest: of this wing's readable records, which are prepared.
            training: what is trained.

        Raises:
            UsageError: the records do not agree.
        """
        return config

    def preparation(self, manifest: Rows, config: Any) -> Preparation:
        """How the records of a manifest are decoded for the store.

        Args:
            manifest: of this wing's readable records.
            config: of samples.

        Raises:
            UsageError: the settings do not fit the records, or one another.
        """
        return self._part("prepare").preparation(manifest, config)  # type: ignore[no-any-return]

    def decode(self, source: Source, config: Any, masks: Sequence[LabelMap | None]) -> DecodedRecord:
        """Decode one record for the store.

        Args:
            source: the record, whose files are those that were scanned.
            config: `Preparation.config`.
            masks: its label maps, one for each of `Preparation.masks`; by default a wing has none.

        Raises:
            UnreadableError: with the reason.
        """
        return self._part("prepare").decode(source, config)  # type: ignore[no-any-return]

    @abstractmethod
    def original(self, source: Source, axis: int | None) -> list[Any]:
        """Read a record from its file as it is, for comparing records with each other.

        Args:
            source: the record.
            axis: across which volumes are cut into slices; None: a volume is one piece.

        Returns:
            Of a volume its slices (C, a, b), the two other axes of RAS+ in their order, or the volume (C, x, y, z), CT
            in HU; of an image (C, rows, columns); of a recording (C, samples) in physical units, NaN where there is no
            value; of a report its text.

        Raises:
            UnreadableError: the file is missing or damaged.
        """

    @abstractmethod
    def thumbnails(self, source: Source, pieces: Sequence[float | None], axis: int, width: int) -> list[Miniature]:
        """Draw a record.

        Args:
            source: the record.
            pieces: of a volume numbers of slices, the middle one by default; of a recording seconds at which strips
                begin.
            axis: of RAS+, across which slices lie.
            width: pixels of the longer side; 0 is the wing's own.

        Returns:
            One a piece.

        Raises:
            UnreadableError: the file is missing or damaged.
        """

    def opened(self, stored: StoredArrays) -> Any:
        """A store as this wing reads it (`PreparedRecords`)."""
        return self._part("prepare").opened(stored)

    def samples(self, store: Any, manifest: Rows, config: Any) -> SampleSet:
        """All samples of the records of a manifest, in a fixed order: windows side by side, tiles, whole images.

        Args:
            store: that `opened` gave.
            manifest: whose records are wanted, of any wings; those in quarantine are left out.
            config: of samples.

        Raises:
            MedclError: the store was prepared from other records or with other settings, or no record is left.
        """
        return self._part("samples").samples(store, manifest, config)  # type: ignore[no-any-return]

    def pieces(self, record: Any, config: Any) -> "Tensor":
        """The samples (S, ...) of a record in memory; `UsageError` where it does not fit the configuration."""
        return self._part("samples").pieces(record, config)  # type: ignore[no-any-return]

    def draws(self, store: Any, manifest: Rows, config: Any) -> Draws:
        """The records of a manifest, as training draws from them; arguments and errors as of `samples`."""
        return Numbered(self.samples(store, manifest, config))

    def levels(self, store: Any, manifest: Rows, config: Any) -> LevelSamples | None:
        """The samples of a manifest with their levels below the record, where training distinguishes them.

        Arguments and errors are those of `samples`. None, as by default, where a record is drawn from as a whole.
        """
        return None

    @abstractmethod
    def views(self, config: Any, data: Any, store: Any) -> "Compose | None":
        """The random changes of samples.

        Args:
            config: which, and how strong; None where the wing has none.
            data: the configuration of samples.
            store: that samples are read from.
        """

    @abstractmethod
    def spec_of(self, encoder: Any, data: Any, store: Any, modality: str) -> Any:
        """What an encoder expects that is trained on prepared records.

        Args:
            encoder: its configuration.
            data: the completed configuration of samples.
            store: that samples are read from.
            modality: of the records, as the manifest has it; several joined by `+`.
        """

    def note(self, config: Any) -> str:
        """What reports and model cards say of samples that are made from several records; empty, as by default."""
        return ""

    @abstractmethod
    def data_of(self, spec: Any) -> Any:
        """The configuration of samples that an encoder takes in evaluation: as in training, but for their overlap."""

    def preprocessing(self, spec: Any) -> "Preprocessing":
        """How a record becomes what the encoder of a spec takes, for those who have no medcl."""
        return self._part("preprocessing").preprocessing(spec)  # type: ignore[no-any-return]

    def encoder(self, spec: Any, samples: Any = None) -> "nn.Module":
        """A network as training begins with it: with new random weights, or those of a published model.

        Args:
            spec: what it expects.
            samples: that are trained on, for encoders that begin with what these are like; None where there are none.
        """
        return spec.build()  # type: ignore[no-any-return]

    def baselines(self, config: Any) -> Mapping[str, Baseline]:
        """Simple features by hand that an encoder of these samples is compared with; by default none.

        Args:
            config: of samples, complete, as `completed` and `data_of` give it.

        Returns:
            Name, such as `pixels` -> baseline, in the order of tables.
        """
        return {}
