"""The README of an export: what is in the folder, how it is used, and what its user has to fill in."""

from pathlib import Path

from medcl.export.taken import Taken
from medcl.modality.preprocessing import REFERENCE, SETTINGS

_USES = {
    "model.onnx": """import onnxruntime
session = onnxruntime.InferenceSession("model.onnx")
y = session.run(None, {"x": x})[0]""",
    "model.pt2": """import torch
network = torch.export.load("model.pt2").module()
y = network(torch.from_numpy(x))""",
    "model.ts": """import torch
network = torch.jit.load("model.ts")   # traced: for samples of one shape
y = network(torch.from_numpy(x))""",
    "configs/inference.json": """from monai.bundle import ConfigParser
parser = ConfigParser()
parser.read_config("configs/inference.json")
parser["bundle_root"] = "."
network = parser.get_parsed_content("network_def")""",
    "model.safetensors": """import medcl
model = medcl.load("this folder, or user/name with download=True")""",
}
"""File of the network -> how it is opened."""


def card_of(taken: Taken, network: str, difference: float, samples: int) -> str:
    """The card as Markdown.

    Args:
        taken: what was exported.
        network: file of the network.
        difference: largest, between original and export.
        samples: by which they were compared.
    """
    about, own = taken.about, taken.preprocessing
    rows = ", ".join(["samples", *own.axes])
    gives = f"embeddings of {about.get('dim')} numbers, one a sample"
    if about["kind"] == "model":
        classes = f" ({', '.join(about['classes'])})" if about["classes"] else ""
        gives = f"the prediction of {about['target']}: {about['task']}{classes}"
    needs = " and ".join(("numpy", *own.packages))
    head = "---\nlibrary_name: medcl\ntags: [medcl, medical]\n---\n\n" if network == "model.safetensors" else ""
    whole = "Give the network all samples of one record: it pools them."
    each = "The embedding of a record is the mean of those of its samples."
    pooled = "" if about.get("patch") else whole if about["kind"] == "model" else each
    return f"""{head}# {taken.source.resolve().name}

Takes {taken.kind} samples ({rows}), gives {gives}. {pooled} `network.json` says it in full.

```python
{_USES[network]}
```

## Preprocessing

`{SETTINGS}` says how a record becomes samples; `{REFERENCE}` does it with {needs} alone:

```python
import json
from preprocess import preprocess
settings = json.load(open("{SETTINGS}"))
```

The largest difference between the original and this export was {difference:.2g}, over {samples} samples.

## Data, intended use, limits

{_carried(taken.source)}**To be filled in** by whoever hands this model on: intended use, who may use it, on which
patients and devices it was not tested.
"""


def _carried(source: Path) -> str:
    """The card of the run or model itself."""
    card = source / "README.md"
    if not card.is_file():
        return ""
    lines = card.read_text(encoding="utf-8").strip().splitlines()
    told = "The card of what was exported; files that it names, such as `patients.txt`, stayed there.\n\n"
    return told + "\n".join(f"##{line}" if line.startswith("#") else line for line in lines) + "\n\n"
