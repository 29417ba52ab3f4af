"""File formats that other installed packages add, by entry points."""

from collections.abc import Mapping
from importlib.metadata import entry_points

from medcl.errors import MedclError
from medcl.modality.content import Format

GROUP = "medcl.formats"
"""Of entry points. Each is named for a wing, and leads to a `Format` or to several."""


def installed(own: Mapping[str, tuple[Format, ...]]) -> dict[str, tuple[Format, ...]]:
    """The formats of all wings, those of installed packages behind ours.

    A package declares them in its `pyproject.toml`; their `reader` is the whole name of a module:

        [project.entry-points."medcl.formats"]
        signal = "mypackage.formats:FORMATS"

    Args:
        own: {wing: its formats}.

    Raises:
        MedclError: a package cannot be loaded, or its formats do not fit; names it.
    """
    found = dict(own)
    for point in sorted(entry_points(group=GROUP), key=lambda one: (one.dist.name if one.dist else "", one.name)):
        package = point.dist.name if point.dist else point.value
        try:
            given = point.load()
        except Exception as error:
            raise MedclError(
                f"the installed package {package} adds formats of files, but {point.value} cannot be loaded: "
                f"{type(error).__name__}: {error}; mend or uninstall it"
            ) from error
        added = (given,) if isinstance(given, Format) else tuple(given)
        names = {form.name for forms in found.values() for form in forms}
        for form in added:
            if point.name not in found or not isinstance(form, Format) or form.name in names or "." not in form.reader:
                raise MedclError(
                    f"the installed package {package} adds formats of files that do not fit: an entry point of "
                    f"{GROUP} is named for a wing ({', '.join(found)}) and leads to "
                    "medcl.modality.content.Format with a new name and reader='package.module'"
                )
            found[point.name] += (form,)
            names.add(form.name)
    return found
