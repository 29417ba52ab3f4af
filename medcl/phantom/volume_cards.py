"""Data-set cards of the synthetic volumes: one option of `medcl scan` finds patients, lesions and label maps."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from medcl.phantom import chest, head

NOTES = "Synthetic: no person was scanned. What is learned from it says nothing about patients."


def write_ct_card(path: Path) -> None:
    """Write the card of `ct/`, with its label maps in `masks/ct/`.

    Args:
        path: of the YAML file, beside `ct/`.
    """
    # A study is a folder below its patient's; both kernels of a study share its label map.
    masks = {"pattern": "../masks/ct/{patient}/{study}.nii.gz", "classes": ["background", *chest.STRUCTURES]}
    _write(path, "ct", chest.LESIONS, id_pattern="^(?P<patient>[^/]+)/(?P<study>[^/]+)/", masks=masks)


def write_mr_card(path: Path) -> None:
    """Write the card of `mr/`, with its label maps in `masks/mr/`.

    Args:
        path: of the YAML file, beside `mr/`.
    """
    masks = {"pattern": "../masks/mr/{folder}/{name}", "classes": ["background", *head.STRUCTURES]}
    _write(path, "mr", head.LESIONS, masks=masks)


def _write(path: Path, modality: str, lesions: Sequence[str], **found: object) -> None:
    card = {
        "name": f"phantom_{modality}",
        "version": "synthetic",
        "source": "medcl phantom",
        "licence": "none needed",
        "citation": "none needed",
        "modality": modality,
        **found,
        "table": {"file": "labels.csv", "key": "record", "patient": "patient"},
        "targets": {"lesion": {"column": "lesion", "kind": "multiclass", "classes": list(lesions)}},
        "notes": NOTES,
    }
    path.write_text(yaml.safe_dump(card, sort_keys=False, width=120), encoding="utf-8")
