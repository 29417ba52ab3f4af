"""What makes several inputs of a recipe comparable: whose heads they share, how wide, and what encoders are called."""

from typing import Any

from medcl.pretrain.objectives.base import HeadConfig
from medcl.pretrain.recipe import Recipe


def spaces(recipe: Recipe) -> tuple[str, str]:
    """The objectives whose heads make the inputs comparable: of embeddings, and of cells and words, if there is one."""
    last = recipe.trained[-1].objectives
    every: dict[str, Any] = {name: recipe.objectives[name] for name in last}
    between = {name: one for name, one in every.items() if getattr(one, "between", ())}
    own = {name: one for name, one in between.items() if not isinstance(getattr(one, "head", ""), str)}
    pooled = [name for name, one in own.items() if not one.dense]
    dense = [name for name, one in own.items() if one.dense]
    return (pooled or dense or [""])[0], (dense if pooled else [""])[0] if dense else ""


def widths(recipe: Recipe) -> tuple[int, int, int, int]:
    """Of the common space of several inputs: of its heads' hidden layer, of its embeddings, of cells and words; codes.

    The last is the number of codes of which its embeddings are mixtures, 0 where they are projections.
    """
    every: dict[str, Any] = dict(recipe.objectives)
    space, local = (every[name].head if name else HeadConfig(0, 0) for name in spaces(recipe))
    codes = getattr(every.get(spaces(recipe)[0]), "codes", 0)
    return space.hidden, space.dim, local.dim, codes


def side_names(recipe: Recipe) -> dict[str, str]:
    """Names of the encoders in the run folder: of their modalities, or of the inputs where two are of one modality."""
    modalities = [one.modality for one in recipe.inputs.values()]
    several = len(set(modalities)) < len(modalities)
    return {name: name if several else one.modality for name, one in recipe.inputs.items()}
