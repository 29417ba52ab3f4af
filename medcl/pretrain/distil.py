"""`medcl distill` as one function: a finished run in, a run of a smaller encoder out that has learned from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medcl import run_card, runs
from medcl.archive.manifest import Manifest
from medcl.errors import UsageError
from medcl.modality.spec import JointCard
from medcl.pretrain.common_space import side_names
from medcl.pretrain.reading import read
from medcl.pretrain.recipe import Recipe, as_settings
from medcl.pretrain.run import Pretrained, pretrain
from medcl.pretrain.version_0_1 import converted
from medcl.spelling import not_a_choice

TEACHER, STUDENT = "teacher", "student"
"""Names of the two inputs."""


@dataclass(frozen=True)
class Distilled:
    """What a distillation has come to.

    Args:
        run: the training.
        parameters: of the teacher and of the student.
    """

    run: Pretrained
    parameters: tuple[int, int]

    def __str__(self) -> str:
        large, small = self.parameters
        return f"{self.run}\nparameters: {small:,}, of {large:,} of the teacher ({small / large:.0%})"


def distillation(folder: Path, encoder: Mapping[str, Any], side: str = "", **optimiser: Any) -> Recipe:
    """The recipe by which a smaller encoder learns from that of a finished run, of the records that it was trained on.

    Args:
        folder: of the run.
        encoder: settings of the smaller one; what is not named is as in the run, unless another network is named.
        side: name of the encoder, of a run that has several.
        **optimiser: settings of the optimiser in the place of the run's; None keeps one.

    Raises:
        UsageError: there is no such side, several and none is named, or no setting is given.
        MedclError: the folder is no finished run.
    """
    if not encoder:
        raise UsageError("--encoder: name what is smaller, such as --encoder dim=64 widths=[8,16,32,64]")
    run = runs.load(folder, kinds=())
    recipe = read(converted(runs.read_config(folder)))
    if isinstance(run.card, JointCard):
        names = {one: name for name, one in side_names(recipe).items()}
        if side not in names:
            raise UsageError(
                f"--side {not_a_choice(side, names)}"
                if side
                else f"{folder}: has encoders of {', '.join(names)}: choose one by --side"
            )
        name = names[side]
    else:
        # A run that was distilled itself has the encoder of its student.
        name = STUDENT if STUDENT in recipe.inputs else next(iter(recipe.inputs))
        if side not in ("", name, recipe.inputs[name].modality):
            raise UsageError(f"--side {not_a_choice(side, [recipe.inputs[name].modality])}")
    settings = as_settings(recipe)
    own = settings["inputs"][name]
    seen = settings["inputs"][own["like"]] if own["like"] else own
    if own["channels"]:
        raise UsageError(f"{folder}: inputs.{name} encodes some channels of another input, and cannot be distilled")
    renamed = encoder.get("name", own["encoder"].get("name")) != own["encoder"].get("name")
    smaller = dict(encoder) if renamed else {**own["encoder"], **encoder}
    shared = {one: seen[one] for one in ("modality", "data", "views", "reports")}
    teacher = {**shared, "encoder": own["encoder"], "init": str(folder), "locked": True}
    student = {"modality": own["modality"], "data": seen["data"], "encoder": smaller, "like": TEACHER}
    schedule = {key: value for key, value in optimiser.items() if value is not None}
    return read(
        {
            "method": "distill",
            "source": "Fang et al., SEED: Self-supervised distillation for visual representation, ICLR 2021",
            **{one: settings[one] for one in ("seed", "splits", "batch", "hardware")},
            "inputs": {TEACHER: teacher, STUDENT: student},
            "objectives": {"distillation": {"kind": "distill", "of": STUDENT, "teacher": TEACHER}},
            "optimiser": {**settings["optimiser"], **schedule},
        }
    )


def distill(recipe: Recipe, manifest: Manifest, store: Path, folder: Path, *, resume: bool = False) -> Distilled:
    """Train the smaller encoder, and keep it alone: the folder is that of a run of one modality.

    Raises:
        UsageError: the folder already holds a run, or the encoder does not fit the records.
        MedclError: the run that teaches was trained on others, or training failed.
    """
    done = pretrain(recipe, manifest, store, folder, resume=resume)
    if not done.finished:
        return Distilled(done, (0, 0))
    both = runs.load_joint(folder)
    sizes = [sum(one.numel() for one in both.encoder.side(name).parameters()) for name in (TEACHER, STUDENT)]
    if done.speaks:
        runs.save_encoder(folder, both.encoder.side(STUDENT), both.card.sides[STUDENT])
        run_card.write(folder)
    return Distilled(done, (sizes[0], sizes[1]))
