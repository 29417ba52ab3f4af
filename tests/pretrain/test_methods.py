"""Which configuration the words of a command ask for."""

from pathlib import Path

import pytest

from medcl.errors import UsageError
from medcl.pretrain.config import PretrainConfig
from medcl.pretrain.hierarchy import check_known
from medcl.pretrain.methods import JOINT, SIGNALS, VOLUMES, asked_for, config_class
from medcl.pretrain.multimodal_config import MultimodalPretrainConfig
from medcl.pretrain.volume_config import VolumePretrainConfig


def test_every_method_has_its_configuration() -> None:
    assert {config_class(method) for method in SIGNALS} == {PretrainConfig}
    assert {config_class(method) for method in VOLUMES} == {VolumePretrainConfig}
    assert {config_class(method) for method in JOINT} == {MultimodalPretrainConfig}
    assert config_class(VolumePretrainConfig().method) is VolumePretrainConfig
    with pytest.raises(UsageError, match=f"'dream': comet trains on recordings, {', '.join(VOLUMES)} on volumes"):
        config_class("dream")


def test_the_command_line_counts_more_than_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("method: pixpro\n")
    (tmp_path / "b.yaml").write_text("seed: 3\n")
    (tmp_path / "broken.yaml").write_text("method: [\n")
    files = ["--config", str(tmp_path / "a.yaml"), "--config", str(tmp_path / "b.yaml")]
    assert asked_for([]) == "comet"
    assert asked_for(files) == "pixpro"
    assert asked_for([f"--config={tmp_path / 'a.yaml'}"]) == "pixpro"
    assert asked_for(["--method", "densecl", *files]) == "densecl"
    assert asked_for([*files, "--method=hierarchy"]) == "hierarchy"
    for unreadable in ("broken.yaml", "none.yaml"):
        assert asked_for(["--config", str(tmp_path / unreadable)]) == "comet"


def test_levels_without_ids_are_named() -> None:
    with pytest.raises(UsageError, match="hierarchy.levels: the archive has no ids for series; it has patient, slice"):
        check_known(("patient", "series"), ("patient", "slice"), "hierarchy.levels")
