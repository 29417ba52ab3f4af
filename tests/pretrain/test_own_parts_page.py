"""Every file and recipe of docs/own-parts.md, as it stands but for its number of steps."""

import re
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file

import medcl
from medcl import runs
from tests.data.linked_archive import pictures_with_reports
from tests.modality.report.encoders.pretrained_texts import bert

PAGE = (Path(__file__).parents[2] / "docs" / "own-parts.md").read_text()
BLOCKS = re.findall(r"^```(python|yaml)\n# (\S+)\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
RECIPES = {name: yaml.safe_load(text) for kind, name, text in BLOCKS if kind == "yaml"}


def test_every_block_of_the_page_is_a_file() -> None:
    assert len(BLOCKS) == PAGE.count("```python") + PAGE.count("```yaml")
    assert len(RECIPES) == 9


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_of_the_page_trains(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ecg_manifest_path: Path,
    mr_manifest_path: Path,
) -> None:
    for kind, path, text in BLOCKS:
        if kind == "python":
            (tmp_path / path).parent.mkdir(exist_ok=True)
            (tmp_path / path).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for module in [one for one in sys.modules if one.partition(".")[0] == "mypackage"]:
        monkeypatch.delitem(sys.modules, module)
    recipe = RECIPES[name]
    short = {"optimiser": {"steps": 2}, "batch": {"patients": 4, "samples": 2}, "hardware": {"accelerator": "cpu"}}
    manifest = {"signal": ecg_manifest_path, "volume": mr_manifest_path}.get(next(iter(recipe["inputs"])))
    if manifest is None:
        bert(tmp_path / "models" / "bert")
        manifest = pictures_with_reports(tmp_path / "xray", patients=8)
    if "init" in recipe["inputs"].get("signal", {}):
        save_file({"backbone.0.weight": torch.ones(32, 1, 9), "fc.weight": torch.ones(2, 2)}, "theirs.safetensors")

    medcl.pretrain({**recipe, **short}, manifest, tmp_path / "run", store=tmp_path / "store")

    runs.load(tmp_path / "run")
    medcl.embed(tmp_path / "run", manifest, tmp_path / "e.parquet", store=tmp_path / "store", jobs=1)
    assert (tmp_path / "e.parquet").is_file()
