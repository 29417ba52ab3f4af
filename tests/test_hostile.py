"""Files that are made to run a program or to call home: none is unpickled, no tag is followed, nothing is connected."""

import pickle
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from medcl import runs
from medcl.archive.card import load as load_card
from medcl.archive.manifest import Manifest
from medcl.commands.recipes import recipe
from medcl.errors import MedclError
from medcl.evaluate.zero_shot import read_prompts
from medcl.pretrain.checkpoint import State, resume_from
from tests.fuzz.kinds import KINDS
from tests.test_runs import finished


class Attack:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def resume(path: Path) -> None:
    model = nn.Linear(2, 2)
    resume_from(path, State(model, torch.optim.AdamW(model.parameters()), None))


@pytest.mark.parametrize("name", [runs.CHECKPOINT, runs.WEIGHTS, "m.parquet"])
def test_nothing_is_unpickled(name: str, tmp_path: Path) -> None:
    mark, path = tmp_path / "mark", finished(tmp_path / "run", [1], "x") / name
    pickle.loads(pickle.dumps(Attack(mark)))
    assert mark.exists()
    mark.unlink()
    if name == runs.CHECKPOINT:
        torch.save({"step": 1, "method": Attack(mark)}, path)
    else:
        path.write_bytes(pickle.dumps(Attack(mark)))
    read: dict[str, Callable[[Path], object]] = {runs.CHECKPOINT: resume, "m.parquet": Manifest.read}
    with pytest.raises(MedclError, match=path.name):
        read.get(name, lambda file: runs.load(file.parent))(path)
    assert not mark.exists()


@pytest.mark.parametrize("read", [load_card, recipe, read_prompts], ids=["card", "recipe", "prompts"])
@pytest.mark.parametrize("tag", ["!!python/object/apply:pathlib.Path.touch", "!!python/name:os.system"])
def test_no_tag_of_yaml_is_followed(read: Callable[[Path], object], tag: str, tmp_path: Path) -> None:
    path, mark = tmp_path / "a.yaml", tmp_path / "mark"
    path.write_text(f"name: {tag} [!!python/object/apply:pathlib.Path ['{mark}']]\n")
    with pytest.raises(MedclError, match=r"a\.yaml"):
        read(path)
    assert not mark.exists()


def test_nothing_is_connected_to_read_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for name, kind in KINDS.items():
        folder = tmp_path / name
        folder.mkdir()
        kind.write(folder)
        kind.read(folder)
