"""Prompts of a zero-shot classification: sentences that say what each class looks like, from YAML.

    region:
      templates: ["{}", "Axial image of the {}."]
      classes:
        Head: [head, brain]
        Thorax: [chest]

Each template is filled with each prompt. A multi-label target may say of a class what its absence reads like:
`Edema: {positive: [pulmonary edema], negative: [no pulmonary edema]}`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medcl import shipped
from medcl.archive.manifest import Manifest, Target
from medcl.documents import read_yaml
from medcl.errors import UsageError
from medcl.suggest import did_you_mean


@dataclass(frozen=True)
class Prompts:
    """The prompts of one target.

    Args:
        target: its name.
        positive: class -> its prompts, filled into the templates.
        negative: class -> prompts of its absence; empty unless the YAML states them.
    """

    target: str
    positive: dict[str, tuple[str, ...]]
    negative: dict[str, tuple[str, ...]]


def read_prompts(path: Path) -> list[Prompts]:
    """Read a file of prompts.

    Raises:
        UsageError: no such file, not YAML, or not as described above; the message names the target and the class.
    """
    path = shipped.find("prompts", path)
    content = read_yaml(path, "prompts")
    if not isinstance(content, Mapping) or not content:
        raise UsageError(f"{path}: prompts are written as `target: {{classes: {{class: [prompts]}}}}`")
    return [_of(str(target), body, path) for target, body in content.items()]


def check(prompts: Prompts, manifest: Manifest) -> Target:
    """The target that prompts are for.

    Raises:
        UsageError: the manifest has no such target, it has no classes, or its classes are others than those that have
            prompts.
    """
    target = manifest.targets.get(prompts.target)
    if target is None:
        held = ", ".join(manifest.targets) or "none"
        hint = did_you_mean(prompts.target, manifest.targets)
        raise UsageError(
            f"prompts for the target {prompts.target!r}: the manifest has no such target; it has {held}{hint}"
        )
    if target.kind == "regression":
        raise UsageError(f"prompts for the target {prompts.target!r}: it is a number and has no classes to tell apart")
    unknown = [name for name in prompts.positive if name not in target.classes]
    if unknown:
        raise UsageError(
            f"prompts for the target {prompts.target!r}: {', '.join(map(repr, unknown))} is none of its classes "
            f"{', '.join(target.classes)}"
        )
    missing = [name for name in target.classes if name not in prompts.positive]
    if missing:
        raise UsageError(
            f"prompts for the target {prompts.target!r}: none for {', '.join(map(repr, missing))}; without prompts a "
            "class can never be chosen"
        )
    if prompts.negative and target.kind != "multilabel":
        raise UsageError(
            f"prompts for the target {prompts.target!r}: only a multi-label target takes negative prompts, "
            f"this one is {target.kind}"
        )
    return target


def _of(target: str, body: Any, path: Path) -> Prompts:
    where = f"{path}: target {target!r}"
    if not isinstance(body, Mapping) or not isinstance(body.get("classes"), Mapping) or not body["classes"]:
        raise UsageError(f"{where}: its prompts are written as `classes: {{class: [prompts]}}`")
    foreign = [str(key) for key in body if key not in ("templates", "classes")]
    if foreign:
        raise UsageError(f"{where}: knows `templates` and `classes`, not {', '.join(foreign)}")
    templates = body.get("templates", ["{}"])
    if not isinstance(templates, list) or not templates or not all(str(one).count("{}") == 1 for one in templates):
        raise UsageError(
            f"{where}: templates are a list of sentences that each hold {{}} once, the place of the prompt"
        )
    positive, negative = {}, {}
    for name, given in body["classes"].items():
        pair = given if isinstance(given, Mapping) else {"positive": given}
        if not set(pair) <= {"positive", "negative"}:
            raise UsageError(f"{where}: class {name!r} has `positive` and `negative` prompts, and nothing else")
        positive[str(name)] = _filled(pair.get("positive"), templates, f"{where}: class {name!r}")
        if "negative" in pair:
            negative[str(name)] = _filled(pair["negative"], templates, f"{where}: class {name!r}, negative")
    return Prompts(target, positive, negative)


def _filled(prompts: Any, templates: list[Any], where: str) -> tuple[str, ...]:
    if not isinstance(prompts, list) or not prompts or not all(isinstance(one, str) and one.strip() for one in prompts):
        raise UsageError(f"{where} has no prompts: write at least one sentence, as a list")
    return tuple(dict.fromkeys(str(template).replace("{}", one) for template in templates for one in prompts))
