"""An encoder in Python: objects in memory in, embeddings out; and as a scikit-learn transformer of records."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from medcl.archive.manifest import Manifest
from medcl.embed.apply import embed_manifest
from medcl.embed.config import EmbedConfig
from medcl.embed.embeddings import EmbeddingsFile
from medcl.embed.encoders import Side, sides_of
from medcl.embed.inputs import by_object, is_several, written
from medcl.embed.metadata import manifest_fingerprint, run_fingerprint
from medcl.errors import MedclError, UsageError
from medcl.modality.objects import Given

Records: TypeAlias = Manifest | Sequence[Any] | NDArray[Any]


class Embedder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Turns records into the embeddings of a finished run.

    Records are named by their `record_id` or row, so that scikit-learn may divide them as it likes: in a `Pipeline`,
    and in `cross_val_score` with `groups` of patients. The archive is embedded once and kept in its store; every later
    call looks its rows up. Nothing is learned from the records: the encoder is as the run left it.

    Args:
        run: folder of the run.
        manifest: the archive that the records are of: a path of what `medcl scan` wrote, or the manifest itself.
        store: folder of prepared records; None is the one next to the manifest's file.
        kind: of records, of a run on several modalities.
        pool: over the pieces of a record, `mean` or `max`.
        jobs: processes that decode records.
        zero_missing: embed recordings that lack some of the encoder's channels, as 0.

    Attributes:
        n_features_out_: width of an embedding.
        run_: fingerprint of the run's weights.
    """

    def __init__(
        self,
        run: Path | str,
        manifest: Manifest | Path | str | None = None,
        *,
        store: Path | str | None = None,
        kind: Literal["image", "volume", "signal", "table", "report"] | None = None,
        pool: Literal["mean", "max"] = "mean",
        jobs: int = 1,
        zero_missing: bool = False,
    ) -> None:
        self.run = run
        self.manifest = manifest
        self.store = store
        self.kind = kind
        self.pool = pool
        self.jobs = jobs
        self.zero_missing = zero_missing

    def fit(self, X: Records, y: Any = None) -> Self:
        """Look at the run; of the records nothing is learned.

        Args:
            X: records, as `transform` takes them.
            y: passed over.

        Raises:
            MedclError: the folder is no finished run.
            UsageError: it has no encoder of this kind.
        """
        self.n_features_out_ = self._sides()[0].dim
        self.run_ = run_fingerprint(Path(self.run))
        return self

    @property
    def _n_features_out(self) -> int:
        return self.n_features_out_

    def transform(self, X: Records) -> NDArray[np.float32]:
        """Embed records.

        Args:
            X: (n,) or (n, 1) record ids, or rows, of the manifest, in any order and as often as wanted; or a
                manifest.

        Returns:
            (n, dim) float32.

        Raises:
            UsageError: an id that the manifest does not have, or no manifest is known.
            MedclError: a record cannot be embedded, with its id and the reason: leave it out of X.
        """
        check_is_fitted(self, "run_")
        manifest = self._archive()
        if isinstance(X, Manifest):
            ids = X.column("record_id")
            if manifest is None or not set(ids) <= set(manifest.column("record_id")):
                manifest = X
        elif manifest is None:
            raise UsageError("records are of a manifest: make the Embedder with manifest=")
        else:
            ids = _ids(X, manifest)
        found, reasons = self._embedded(manifest)
        place = {str(record): row for row, record in enumerate(found.column("record_id"))}
        missing = [one for one in dict.fromkeys(map(str, ids)) if one not in place]
        if missing:
            raise MedclError(
                f"{len(missing)} records have no embedding and must be left out; the first, {missing[0]}: "
                f"{reasons.get(missing[0], 'the run has no encoder of its kind')}"
            )
        rows = np.array([place[str(one)] for one in ids], dtype=np.int64)
        vectors: NDArray[np.float32] = np.asarray(found.vectors()[rows], dtype=np.float32)
        return vectors

    def embed(
        self,
        x: Any,
        *,
        sampling_rate: float | None = None,
        channels: Sequence[str] = (),
        unit: str = "",
        spacing: Sequence[float] | None = None,
        about: Mapping[str, Any] | None = None,
        level: Literal["record", "window"] = "record",
    ) -> NDArray[np.float32]:
        """Embed objects in memory, as `medcl embed` embeds the files that they came from.

        They are written into a temporary folder that only this user can read, without loss, and pass through the
        readers and checks of an archive: channels are chosen by name, units converted, recordings resampled, filtered
        and standardised, volumes turned and resampled, images scaled as in pretraining. `TMPDIR` says where.

        Args:
            x: what the encoder's modality takes, or a list: of recordings arrays (channels, samples) with
                `sampling_rate` and `channels`, MNE `Raw` and `Epochs`; of volumes arrays (x, y, z) in RAS+ with
                `spacing`, nibabel images, the DICOM slices of one; of images arrays (rows, columns) uint8 or uint16,
                PIL images; of reports strings; of tables data frames of pandas or pyarrow; of any of them pydicom
                data sets and paths (`pathlib.Path`) of files.
            sampling_rate: of arrays, in Hz.
            channels: names of the channels of arrays, in their order.
            unit: of arrays: V, mV or uV; default: mV of an ECG, uV of an EEG.
            spacing: of arrays, in mm along x, y, z.
            about: of data frames, what the JSON side-car of their file would say.
            level: one embedding a `record`, or one a `window`.

        Returns:
            (dim,) float32 of one object; (n, dim) of a list, of a data frame (n patients, in the order of their first
            rows), and of windows.

        Raises:
            UsageError: the encoder does not take such objects, or the sampling rate, channels or spacing are missing.
            MedclError: an object cannot be embedded, with the reason that the archive would have been told.
        """
        sides = self._sides()
        cards = {side.kind: side.card for side in sides}
        given = Given.of(sampling_rate, channels, unit, spacing, about)
        several = is_several(x, cards)
        if level == "window" and several:
            raise UsageError("level='window' is of one object: embed the objects of a list one by one")
        if several and not x:
            return np.empty((0, sides[0].dim), dtype=np.float32)
        with written(x, cards, given) as (manifest, store):
            config = replace(self._config(), level=level, jobs=1)
            done = embed_manifest(Path(self.run), manifest, config, store, store / "embeddings.parquet", loaded=sides)
            found = EmbeddingsFile.read(done.path)
            place = {str(one): row for row, one in enumerate(manifest.column("record_id"))}
            rows = np.array([place[str(one)] for one in found.column("record_id")], dtype=np.int64)
            order = by_object(manifest, rows, done.left_out, several)
            vectors: NDArray[np.float32] = np.asarray(found.vectors()[order], dtype=np.float32)
        one = level == "record" and not several and not hasattr(x, "columns") and len(vectors) == 1
        return vectors[0] if one else vectors

    def _sides(self) -> list[Side]:
        """The encoders, loaded once."""
        key = (run_fingerprint(Path(self.run)), self.kind)
        if getattr(self, "_loaded", (None,))[0] != key:
            self._loaded = (key, sides_of(Path(self.run), self.kind))
        return self._loaded[1]

    def _config(self) -> EmbedConfig:
        return EmbedConfig(pool=self.pool, kind=self.kind, jobs=self.jobs, zero_missing=self.zero_missing)

    def _archive(self) -> Manifest | None:
        if self.manifest is None or isinstance(self.manifest, Manifest):
            return self.manifest
        return Manifest.read(self.manifest)

    def _embedded(self, manifest: Manifest) -> tuple[EmbeddingsFile, dict[str, str]]:
        """The embeddings of an archive, made now or before."""
        store = self._store()
        config = self._config()
        made_of = [self.run_, manifest_fingerprint(manifest), self.pool, self.kind]
        made_of += ["zero_missing"] if self.zero_missing else []
        key = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:20]
        done = embed_manifest(Path(self.run), manifest, config, store, store / f"embeddings-{key}.parquet")
        return EmbeddingsFile.read(done.path), done.left_out

    def _store(self) -> Path:
        if self.store is not None:
            return Path(self.store)
        if self.manifest is None or isinstance(self.manifest, Manifest):
            raise UsageError("records are decoded into a store: make the Embedder with store=, a folder")
        return Path(self.manifest).with_suffix(".store")


def _ids(records: Sequence[Any] | NDArray[Any], manifest: Manifest) -> NDArray[Any]:
    """The ids of records that are named by them, or by their rows.

    Raises:
        UsageError: they are named by something else, or the manifest does not have them.
    """
    named = np.asarray(records, dtype=object)
    if named.ndim == 2 and named.shape[1] == 1:
        named = named[:, 0]
    have = manifest.column("record_id")
    if named.ndim == 1 and all(isinstance(one, int | np.integer) for one in named):
        rows = named.astype(np.int64)
        if len(rows) and (rows.min() < 0 or rows.max() >= len(have)):
            raise UsageError(f"rows {rows.min()} to {rows.max()} are not all of a manifest of {len(have)} records")
        return have[rows]
    if named.ndim != 1 or not all(isinstance(one, str) for one in named):
        raise UsageError(
            f"records are named by record_id or row of the manifest, (n,) or (n, 1); got an array of {named.shape}"
        )
    unknown = sorted(set(named) - set(have))
    if unknown:
        raise UsageError(f"{len(unknown)} records are not of the manifest, such as {unknown[0]!r}")
    return named
