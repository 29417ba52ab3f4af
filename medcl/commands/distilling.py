"""A smaller encoder from a finished one: distill."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from medcl.commands import next_step
from medcl.commands.arguments import ManifestSource, PathSource, Result, manifest_and_store, one_or_many
from medcl.errors import UsageError

if TYPE_CHECKING:
    from medcl.pretrain.distil import Distilled


@one_or_many
def distill(
    run: PathSource,
    manifest: ManifestSource,
    output: Annotated[PathSource | None, "OUTPUT", "required"] = None,
    *,
    encoder: Sequence[Annotated[str, "NAME=VALUE"]] = (),
    side: str = "",
    steps: int | None = None,
    learning_rate: float | None = None,
    resume: bool = False,
    store: PathSource | None = None,
) -> "Result[Distilled]":
    """Train a smaller encoder to find records as alike as that of a finished run does (contrastive distillation).

    The records, their preparation and the random views are those of the run, which has to have been trained on this
    manifest. The result is a run folder of one encoder, which is evaluated and used as any other.

    Args:
        run: run folder that `medcl pretrain` wrote: the teacher.
        manifest: manifest that it was trained on.
        output: the run folder of the smaller encoder.
        encoder: settings of the smaller encoder, such as dim=64 widths=[8,16,32,64]; the others are those of the
            teacher, unless another network is named (name=resnet).
        side: name of the encoder, of a run that has several, such as image.
        steps: number of optimiser steps; default: those of the teacher.
        learning_rate: its maximum; default: that of the teacher.
        resume: go on from the folder's last.ckpt.
        store: folder of prepared records; default: beside the manifest.

    Returns:
        What the run has come to, and the sizes of both encoders.

    Raises:
        UsageError: a setting is invalid, or the run was trained on other patients.
        MedclError: the run is unfinished, or training failed.
    """
    from medcl.pretrain.distil import distill as train
    from medcl.pretrain.distil import distillation

    if output is None:
        raise UsageError("distill: -o/--output is missing")
    records, prepared = manifest_and_store(manifest, store)
    settings = dict(_setting(one) for one in encoder)
    recipe = distillation(Path(run), settings, side, steps=steps, learning_rate=learning_rate)
    done = train(recipe, records, prepared, Path(output), resume=resume)
    kinds = {one.modality for one in recipe.inputs.values()}
    then = next_step.after_pretrain(done.run.folder, kinds, records, manifest, done.run.finished)
    return Result(str(done) if done.run.speaks else "", lambda: done, done.run.folder, then * done.run.speaks)


def _setting(words: str) -> tuple[str, Any]:
    """A name and its value, as YAML has it.

    Raises:
        UsageError: it has another form.
    """
    import yaml

    name, equals, value = words.partition("=")
    if not (name and equals and value):
        raise UsageError(f"--encoder {words}: write NAME=VALUE, such as dim=64")
    try:
        return name, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UsageError(f"--encoder {words}: {value!r} is no number, word or list such as [8,16]") from error
