"""What is found in embeddings that lie in the folder of their run is told in its model card."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from medcl import run_card, runs
from medcl.embed.embeddings import EmbeddingsFile
from medcl.embed.metadata import run_fingerprint
from medcl.explore.confounders import Confounder


def note_in_run(embeddings: EmbeddingsFile, found: Sequence[Confounder]) -> Path | None:
    """Write confounders into the model card of the run that made embeddings, where they lie in its folder.

    Args:
        embeddings: of the run.
        found: columns that were looked at.

    Returns:
        The folder of the run; None where the embeddings lie elsewhere.

    Raises:
        MedclError: the card cannot be written.
    """
    for folder in embeddings.paths[0].absolute().parents:
        if (
            runs.is_run(folder)
            and (folder / runs.WEIGHTS).is_file()
            and run_fingerprint(folder) == embeddings.about.run
        ):
            run_card.note_confounders(folder, [{**asdict(one), "found": one.found} for one in found])
            return folder
    return None
