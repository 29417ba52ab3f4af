"""A network as a MONAI bundle: `monai.bundle.ConfigParser` builds it and runs it, without medcl."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from medcl import files
from medcl.errors import MedclError
from medcl.export.programs import TORCH, Runs, exported
from medcl.export.taken import Taken

_PASS = "$from torch.export.passes import move_to_device_pass"
_ROOT = "@bundle_root + '/{}'"


def write_bundle(folder: Path, taken: Taken) -> Runs:
    """Write `configs/` and `models/` of a bundle, and open it by monai.

    Raises:
        MedclError: the network cannot be exported.
    """
    files.make_folder(folder / "models")
    torch.export.save(exported(taken), str(folder / "models" / TORCH))
    for name, content in {"metadata": metadata(taken), "inference": inference(taken)}.items():
        files.write(folder / "configs" / f"{name}.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    return read_bundle(folder)


def read_bundle(folder: Path) -> Runs:
    """The network of a bundle, as monai builds it.

    Raises:
        MedclError: it is none.
    """
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    try:
        parser.read_config(str(folder / "configs" / "inference.json"))
    except OSError as error:
        raise MedclError(f"{folder}: no bundle (configs/inference.json is missing)") from error
    parser["bundle_root"] = str(folder)
    network: Runs = parser.get_parsed_content("network_def")
    return network


def inference(taken: Taken) -> dict[str, Any]:
    """How the network is built and applied, in the language of bundles."""
    simple = {"_target_": "SimpleInferer"}
    size = [side for side in taken.about.get("patch", ()) if side > 1]
    sliding = {"_target_": "SlidingWindowInferer", "roi_size": size, "sw_batch_size": 16}
    program = f"torch.export.load({_ROOT.format(f'models/{TORCH}')})"
    return {
        "imports": ["$import json", "$import runpy", "$import torch", _PASS],
        "bundle_root": ".",
        "device": "$'cuda' if torch.cuda.is_available() else 'cpu'",
        "network_def": f"$move_to_device_pass({program}, @device).module()",
        "settings": f"$json.load(open({_ROOT.format('preprocessing.json')}))",
        "preprocess": f"$runpy.run_path({_ROOT.format('preprocess.py')})['preprocess']",
        "inferer": {**sliding, "overlap": taken.about["overlap"]} if size else simple,
    }


def metadata(taken: Taken) -> dict[str, Any]:
    """What a bundle says of itself."""
    shape = list(taken.examples()[0].shape)
    format_of = {"type": "image", "modality": taken.about["modality"], "is_patch_data": bool(taken.about.get("patch"))}
    classes = taken.about.get("classes", ())
    given = {"type": "probabilities" if classes else taken.about["gives"], "channel_def": dict(enumerate(classes))}
    return {
        "schema": "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json",
        "version": "0.1.0",
        "changelog": {"0.1.0": f"exported by medcl {version('medcl')}"},
        "monai_version": version("monai"),
        "pytorch_version": torch.__version__.split("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": {},
        "name": taken.source.resolve().name,
        "task": taken.about.get("task", "embedding"),
        "description": f"{taken.about['gives']} of {taken.kind} samples",
        "authors": "to be filled in",
        "copyright": "to be filled in",
        "network_data_format": {
            "inputs": {"x": {**format_of, "num_channels": shape[1], "spatial_shape": shape[2:], "dtype": "float32"}},
            "outputs": {"y": {**given, "format": "segmentation" if taken.about.get("patch") else "classes"}},
        },
    }
