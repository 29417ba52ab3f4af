"""The rooms of the house in one diagram, drawn from the imports.

`python docs/_site/architecture.py` writes docs/architecture.svg.
"""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
DIAGRAM = ROOT / "docs" / "architecture.svg"
GROUND = "ground"
"""Small modules that any room may use, such as errors and files, drawn as one."""
RUNS = ("runs", "run_card")
ROOF = ("cli", "api", "__init__", "__main__")
TOLD = {
    "archive": "files to manifest",
    "commands": "one a function",
    "contrast": "losses, pairings",
    "data": "store to batches",
    "embed": "vectors of records",
    "engine": "many processes",
    "evaluate": "labels, intervals",
    "explore": "the map",
    "export": "models taken away",
    "ground": "errors, files",
    "modality": "the five wings",
    "networks": "shared parts",
    "phantom": "made-up patients",
    "pretrain": "recipe to encoder",
    "reduce": "redundant records",
    "runs": "the run folder",
    "show": "pages, thumbnails",
    "stats": "metrics, intervals",
    "tune": "settings of a recipe",
}
"""What stands below the name of a room; a new room needs a line."""
WIDTH, HEIGHT, GAP, FLOOR = 124, 46, 48, 96


def rooms() -> dict[str, set[str]]:
    """Room -> rooms that it imports anywhere, also within functions."""
    found: dict[str, set[str]] = defaultdict(set)
    package = ROOT / "medcl"
    for path in sorted(package.rglob("*.py")):
        room = _room(path.relative_to(package).parts[0].removesuffix(".py"))
        found[room] |= {_room(name.split(".")[1]) for name in _imported(path) if name.count(".")}
    return {room: found[room] & set(found) - {room} for room in sorted(found)}


def _room(name: str) -> str:
    if name in ROOF:
        return "commands"
    if name in RUNS:
        return "runs"
    return name if (ROOT / "medcl" / name).is_dir() else GROUND


def _imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"medcl.{one.name}" for one in node.names} if node.module == "medcl" else {node.module}
    return {name for name in names if name.startswith("medcl.")}


def floors(below: dict[str, set[str]]) -> dict[str, int]:
    """Room -> its floor: one above the highest room that it uses."""
    found: dict[str, int] = {}

    def floor(room: str) -> int:
        if room not in found:
            found[room] = 1 + max((floor(other) for other in below[room]), default=-1)
        return found[room]

    for room in below:
        floor(room)
    return found


def direct(below: dict[str, set[str]]) -> dict[str, set[str]]:
    """The uses that no other use implies: arrows of the diagram."""

    def reach(room: str) -> set[str]:
        return below[room].union(*(reach(other) for other in below[room]))

    return {
        room: {one for one in uses if not any(one in reach(other) for other in uses)} for room, uses in below.items()
    }


def draw() -> str:
    """The diagram as SVG: rooms on their floors, an arrow to each room that is used."""
    below = rooms()
    on = floors(below)
    rows = [sorted(room for room in below if on[room] == floor) for floor in range(max(on.values()) + 1)]
    width = max(len(row) for row in rows) * (WIDTH + GAP) + GAP
    height = len(rows) * FLOOR
    place: dict[str, tuple[float, float]] = {}
    for floor, row in enumerate(rows):
        left = (width - len(row) * (WIDTH + GAP) + GAP) / 2
        for number, room in enumerate(row):
            place[room] = left + number * (WIDTH + GAP), height - (floor + 1) * FLOOR + (FLOOR - HEIGHT) / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        'font-size="13" text-anchor="middle">',
        "<title>The rooms of medcl; an arrow points to a room that is used</title>",
        '<defs><marker id="tip" markerWidth="7" markerHeight="7" refX="6" refY="3.5" orient="auto">'
        '<path d="M0 0L7 3.5L0 7z" fill="#7986cb"/></marker></defs>',
    ]
    for room, uses in sorted(direct(below).items()):
        x, y = place[room][0] + WIDTH / 2, place[room][1] + HEIGHT
        for other in sorted(uses):
            to_x, to_y = place[other][0] + WIDTH / 2, place[other][1]
            curve = f"M{x:g} {y:g}C{x:g} {y + 30:g} {to_x:g} {to_y - 30:g} {to_x:g} {to_y - 2:g}"
            parts.append(f'<path d="{curve}" fill="none" stroke="#7986cb" marker-end="url(#tip)"/>')
    for room, (x, y) in sorted(place.items()):
        middle = x + WIDTH / 2
        parts += [
            f'<rect x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="#e8eaf6" stroke="#3f51b5"/>',
            f'<text x="{middle:g}" y="{y + 20:g}" font-weight="bold" fill="#1a237e">{room}</text>',
            f'<text x="{middle:g}" y="{y + 37:g}" font-size="11" fill="#444">{TOLD[room]}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    DIAGRAM.write_text(draw(), encoding="utf-8")
