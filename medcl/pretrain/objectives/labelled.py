"""What objectives state that are told classes by name, the same ones in every run of an archive that grows."""

from dataclasses import dataclass

from medcl.errors import UsageError
from medcl.pretrain.objectives.base import OneInputConfig
from medcl.pretrain.objectives.positives import places
from medcl.pretrain.recipe import Recipe


@dataclass(frozen=True)
class LabelledConfig(OneInputConfig):
    """An objective of one input and of classes.

    Args:
        of: the input.
        target: column of the manifest; records of other classes, or of none, have no label.
        classes: of the column.
    """

    target: str = ""
    classes: tuple[str, ...] = ()

    @property
    def word(self) -> str:
        """By which the class of a record is looked up."""
        return places(self.target, self.classes)

    @property
    def columns(self) -> tuple[str, ...]:
        """The classes."""
        return (self.word,)

    def check(self, where: str, recipe: Recipe) -> None:
        """Refuse what has no classes."""
        super().check(where, recipe)
        check_classes(where, self.target, self.classes)


def check_classes(where: str, target: str, classes: tuple[str, ...]) -> None:
    """Refuse a target without a name, and fewer than two different classes.

    Args:
        where: the objective in the recipe, for the message.
        target: column of the manifest.
        classes: of the column.

    Raises:
        UsageError: the target or the classes are missing, or a class is named twice.
    """
    if not target or len(set(classes)) != len(classes) or len(classes) < 2:
        raise UsageError(
            f"{where}: target names a column of the manifest, and classes at least two different values of it"
        )
