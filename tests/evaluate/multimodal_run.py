"""A finished run on pictures with reports, and its archive."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from medcl.archive.manifest import Manifest, Target
from medcl.pretrain.run import pretrain
from tests.data.linked_archive import pictures_with_reports
from tests.pretrain.multimodal_recipe import REPORT, small

CLASSES = ("horizontal", "vertical", "checkerboard", "uniform")
# Stretched to 16 x 16, of which each cell of the dense embedding covers 4.
IMAGE = {
    "modality": "image",
    "data": {"size": [16, 16]},
    "encoder": {"name": "resnet", "widths": [8, 8, 16, 16], "dim": 16, "norm": "group"},
    "views": {"brightness": 0.05},
}
PROMPTS = """
pattern:
  templates: ["The picture shows {} all over."]
  classes:
    horizontal: [horizontal stripes, stripes from left to right]
    vertical: [vertical stripes]
    checkerboard: [a checkerboard]
    uniform: [a uniform opacity, opacity]
"""


def archive(folder: Path, patients: int = 24) -> Manifest:
    """ImageSamples with reports; the target `pattern` says what they show, of pictures alone."""
    manifest = pictures_with_reports(folder, patients=patients)
    patterns = []
    for record_id in map(str, manifest.column("record_id")):
        kind, number = record_id.split("-")
        patterns.append(CLASSES[int(number) % len(CLASSES)] if kind == "image" else None)
    manifest = manifest.with_column("pattern", pa.array(patterns))
    manifest = manifest.with_targets({"pattern": Target("pattern", "multiclass", CLASSES)})
    # The second quarter from the end validates.
    patient = manifest.column("patient")
    last = [int(one) - 100 for one in patient]
    split = ["test" if n >= patients * 3 // 4 else "val" if n >= patients // 2 else "train" for n in last]
    manifest = manifest.with_column("split", pa.array(split))
    return replace(manifest, metadata={**manifest.metadata, "salt": "tests"})


def trained(folder: Path, manifest: Manifest, store: Path, steps: int = 60) -> Path:
    """A run of some steps."""
    pretrain(small(steps, inputs={"image": IMAGE, "report": REPORT}), manifest, store, folder)
    return folder
