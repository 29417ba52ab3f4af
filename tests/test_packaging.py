"""What the package promises of itself: its dependencies, its imports, the map of the house."""

import ast
import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import yaml
from setuptools import find_packages

import medcl

ROOT = Path(__file__).parents[1]
GROUND = {"engine", "contrast", "stats", "networks", "phantom"}
RECORDS = {"engine", "stats", "networks", "modality", "archive", "data", "runs"}
BELOW: dict[str, set[str]] = {
    **{room: set() for room in GROUND},
    "modality": {"engine", "networks"},
    "archive": {"engine", "modality"},
    "data": {"engine", "modality", "archive"},
    "runs": {"networks", "modality", "archive"},
    "show": {"engine", "stats", "modality", "archive", "data"},
    "pretrain": {*RECORDS, "contrast"},
    "embed": RECORDS,
    "reduce": {*RECORDS, "embed", "show"},
    "explore": {*RECORDS, "embed", "show"},
    "evaluate": {*RECORDS, "embed", "show", "contrast"},
}
ROOF = {"commands", "cli", "api"}
WINGS = {"signal", "volume", "image", "report", "table"}


def imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_rooms_import_only_what_is_below_them() -> None:
    wrong = []
    for path in sorted((ROOT / "medcl").rglob("*.py")):
        room = path.relative_to(ROOT / "medcl").parts[0].removesuffix(".py")
        others = {name.split(".")[1] for name in imported(path) if name.startswith("medcl.")}
        if room in BELOW:
            wrong += [f"{path}: {other}" for other in sorted(others & {*BELOW, *ROOF} - {room} - BELOW[room])]
    assert not wrong


def test_wings_do_not_import_each_other() -> None:
    for wing in sorted(WINGS):
        others = WINGS - {wing} | ({"spatial"} if wing not in ("volume", "image") else set())
        for path in (ROOT / "medcl" / "modality" / wing).rglob("*.py"):
            names = {name.split(".")[2] for name in imported(path) if name.startswith("medcl.modality.")}
            assert not names & others, path


def test_nothing_depends_on_what_breaks_torch() -> None:
    """Torchvision and torchaudio have no CPU build beside this torch, and these packages pull them in."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    pinned = (ROOT / "constraints.txt").read_text().splitlines()
    names = {re.split(r"[<>=!~\[ ;]", line, maxsplit=1)[0].lower() for line in (*wanted, *pinned)}
    assert not names & {"torchvision", "torchaudio", "lightly", "litdata", "timm"}
    assert any(line.startswith("lightning>=2.6.6") for line in wanted), "2.6.2 and 2.6.3 are malicious releases"


def test_pickle_is_only_read_as_weights() -> None:
    for path in (ROOT / "medcl").rglob("*.py"):
        text = path.read_text()
        assert not re.search(
            r"\bimport (pickle|dill|cloudpickle)\b|joblib\.load|allow_pickle=True|weights_only=False", text
        ), path
        assert all("weights_only=True" in call for call in re.findall(r"torch\.load\(.*", text)), path


def test_the_version_has_one_source() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" not in project["project"]
    assert project["tool"]["setuptools"]["dynamic"] == {"version": {"attr": "medcl.__version__"}}
    assert version("medcl") == medcl.__version__, "install the checkout again: pip install -e ."


def test_papers_name_the_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == medcl.__version__
    changes = re.findall(r"^## \[(.+?)\](?: - (\d{4}-\d\d-\d\d))?$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert changes[0] == ("Unreleased", "")
    assert changes[1] == (medcl.__version__, str(citation["date-released"]))


def test_every_file_is_in_a_wheel() -> None:
    packages = set(find_packages(str(ROOT), include=["medcl", "medcl.*"]))
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["*"]
    for path in (ROOT / "medcl").rglob("*"):
        if path.is_dir() or "__pycache__" in path.parts:
            continue
        assert ".".join(path.relative_to(ROOT).parent.parts) in packages, path
        assert path.suffix == ".py" or any(path.match(pattern) for pattern in data), path
