"""The command `medcl`: what it answers to. The commands are in `medcl.commands`."""

import os
import sys
from collections.abc import Sequence

from medcl.api import COMMANDS
from medcl.errors import LeakError, MedclError, no_such
from medcl.files import write_reason

_SHOWS = {
    "scan": {
        "--deid-recipe": (
            "show what is read from a DICOM header and what becomes of it, and exit",
            "medcl.archive.dicom_file_record:recipe",
        )
    }
}
"""Flags that only print something: their help, and the function that tells it."""
_FLAGS = ("--help", "--version")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: words behind `medcl`; default: those of the process.

    Returns:
        0 done, 1 the work failed, 2 the call was wrong.
    """
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal has no letters for is spelt with escapes, and ends no command.
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print(_overview())
        return 0 if words else 2
    if words[0] == "--version":
        from medcl import __version__

        print(__version__)
        return 0
    name, *rest = words
    if name not in COMMANDS:
        told = no_such("flag", name, _FLAGS) if name.startswith("-") else no_such("command", name, COMMANDS)
        print(f"medcl: {told}", file=sys.stderr)
        return 2
    try:
        from medcl.commands.parsers import parse

        done = COMMANDS[name](**parse(COMMANDS[name], rest, _SHOWS.get(name)))
        if text := str(done):
            print(text)
        if done.then:
            print(f"next: {done.then}", file=sys.stderr if done.is_document else sys.stdout)
    except MedclError as error:
        if isinstance(error, LeakError) and error.told:
            print(error.told)
        if error.speaks:
            print(f"medcl {name}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"medcl {name}: interrupted", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Who reads has enough, as `head` does. Python would complain once more when it writes what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        # What is read and written says itself where it fails; this is what is left, such as a temporary folder.
        print(f"medcl {name}: the work cannot go on: {write_reason(error)}", file=sys.stderr)
        return 1
    return 0


def _overview() -> str:
    lines = [f"  {name:<10} {(command.__doc__ or '').splitlines()[0]}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: medcl COMMAND ...",
            "",
            "Contrastive learning on medical archives.",
            "",
            *lines,
            "",
            "medcl COMMAND --help tells more.",
        ]
    )
