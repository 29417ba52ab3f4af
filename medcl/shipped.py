"""The data-set cards and recipes that medcl comes with, by name."""

from pathlib import Path

from medcl.errors import UsageError
from medcl.suggest import did_you_mean

_HERE = Path(__file__).parent
FOLDERS = {"card": "datasets", "recipe": "pipelines", "prompts": "pipelines/prompts"}


def find(kind: str, given: Path | str) -> Path:
    """The file that a path or a name means.

    Args:
        kind: `card`, `recipe` or `prompts`.
        given: path of a YAML file, or the name of a shipped one, with or without `.yaml`.

    Returns:
        A file that is there.

    Raises:
        UsageError: there is neither such a file nor a shipped one of that name; names the nearest.
    """
    path = Path(given)
    if path.is_file():
        return path
    known = shipped(kind)
    # `datasets/ptbxl.yaml` means the shipped card where the command does not run in a checkout.
    if path.parent in (Path("."), Path(FOLDERS[kind])) and path.name.removesuffix(".yaml") in known:
        return known[path.name.removesuffix(".yaml")]
    what = "it is a folder" if path.is_dir() else "there is no such file"
    raise UsageError(
        f"{kind} {given}: {what}, and none of that name is shipped ({', '.join(known)})"
        f"{did_you_mean(path.name.removesuffix('.yaml'), known)}"
    )


def shipped(kind: str) -> dict[str, Path]:
    """Name -> file, of all that are shipped.

    Args:
        kind: `card`, `recipe` or `prompts`.
    """
    # In a wheel they lie within the package, in a checkout next to it.
    folder = _HERE / FOLDERS[kind]
    folder = folder if folder.is_dir() else _HERE.parent / FOLDERS[kind]
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
