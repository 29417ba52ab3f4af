"""The folder of one evaluation: nothing that was measured is overwritten."""

import os
from contextlib import suppress
from datetime import date
from itertools import count
from pathlib import Path

from medcl import files, run_card, runs
from medcl.errors import UsageError
from medcl.evaluate.compare import LATEST, RESULTS


def begin(run: Path, target: str, output: Path | None = None) -> Path:
    """The folder of a new evaluation: `output`, or RUN/eval/TARGET/DATE-N.

    Args:
        run: run folder.
        target: name of the target.
        output: where the user wants it.

    Raises:
        UsageError: the output holds the results of another evaluation.
        MedclError: the folder cannot be made.
    """
    if output is not None:
        if (output / RESULTS).exists():
            raise UsageError(f"-o {output}: holds the results of another evaluation: choose another folder")
        return output
    home = run / "eval" / files.safe_name(target)
    for number in count(1):
        folder = home / f"{date.today().isoformat()}-{number}"
        files.make_folder(home)
        with suppress(FileExistsError):
            folder.mkdir()
            return folder
    raise AssertionError


def finish(folder: Path, *, is_own: bool) -> None:
    """Let `latest` point at a finished evaluation that lies in its run's folder, and its model card tell of it."""
    if not is_own:
        return
    link = folder.with_name(LATEST)
    draft = folder.with_name(f".{LATEST}-{os.getpid()}")
    draft.symlink_to(folder.name, target_is_directory=True)
    os.replace(draft, link)
    if runs.is_run(run := folder.parents[2]):
        run_card.write(run)
