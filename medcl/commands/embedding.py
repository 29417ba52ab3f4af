"""Apply a run's encoder to an archive: embed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from medcl.commands import quarantine
from medcl.commands.arguments import ManifestSource, PathSource, config_of, manifest_and_store, one_or_many
from medcl.commands.result import Result

if TYPE_CHECKING:
    from medcl.explore.embeddings import Embeddings


@one_or_many
def embed(
    run: PathSource,
    manifest: ManifestSource,
    output: PathSource,
    *,
    store: PathSource | None = None,
    **settings: Annotated[Any, "medcl.embed.config:EmbedConfig"],
) -> "Result[Embeddings]":
    """Write the embeddings of the records of a manifest to one Parquet file; an interrupted call goes on.

    Args:
        run: run folder that `medcl pretrain` wrote.
        manifest: manifest that `medcl scan` wrote.
        output: the Parquet file.
        store: folder of prepared records; default: beside the manifest.
        settings: fields of `medcl.embed.config.EmbedConfig`, such as `level="patient"`.

    Returns:
        The embeddings, (rows, dim) and what is known of each row.

    Raises:
        UsageError: the run has no encoder for any record, or the file holds other embeddings.
        MedclError: nothing can be decoded, or an embedding is not a number.
    """
    from medcl.embed.apply import embed_manifest
    from medcl.embed.config import EmbedConfig

    def load() -> "Embeddings":
        from medcl.explore.embeddings import Embeddings

        return Embeddings.read(done.path)

    config = config_of(EmbedConfig, settings)
    records, prepared = manifest_and_store(manifest, store)
    done = embed_manifest(Path(run), records, config, prepared, Path(output))
    lines = quarantine.told(done.left_out, len(records), "records")
    if done.already:
        lines.append(f"{done.path}: was there already, of the same run, records and settings")
    elif done.taken_over:
        lines.append(f"went on behind {done.taken_over} parts that an interrupted call had finished")
    lines.append(f"{done.path}: {done.rows} embeddings of width {done.dim}, one a {config.level}")
    return Result("\n".join(lines), load, done.path)
