"""What objectives state that are told a column of the manifest, and classes of it by name."""

from dataclasses import dataclass

from medcl.errors import UsageError
from medcl.pretrain.objectives.base import OneInputConfig
from medcl.pretrain.objectives.positives import LABEL, places
from medcl.pretrain.recipe import Recipe


@dataclass(frozen=True)
class TargetConfig(OneInputConfig):
    """An objective of one input and of a column.

    Args:
        target: column of the manifest; records without a value are not used.
    """

    target: str = ""

    @property
    def word(self) -> str:
        """By which the value of a record is looked up."""
        return f"{LABEL}{self.target}"

    @property
    def columns(self) -> tuple[str, ...]:
        """The one."""
        return (self.word,)

    def check(self, where: str, recipe: Recipe) -> None:
        """Refuse what has no target."""
        super().check(where, recipe)
        if not self.target:
            raise UsageError(f"{where}.target: names the column of the manifest that is looked up")


@dataclass(frozen=True)
class LabelledConfig(TargetConfig):
    """An objective of one input and of classes, the same ones in every run of an archive that grows.

    Args:
        target: column of the manifest; records of other classes, or of none, have no label.
        classes: of the column.
    """

    classes: tuple[str, ...] = ()

    @property
    def word(self) -> str:
        """By which the class of a record is looked up."""
        return places(self.target, self.classes)

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
