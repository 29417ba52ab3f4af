"""The errors that medcl raises on purpose; the command line turns each into one line and an exit code."""


class MedclError(Exception):
    """The work failed: a file, a run or the data do not allow it. Exit code 1."""

    exit_code = 1


class UsageError(MedclError):
    """The call was wrong: an argument, a column or a configuration that cannot be meant. Exit code 2."""

    exit_code = 2


class UnreadableError(MedclError):
    """A file cannot be read as what it claims to be; a batch job quarantines it with this text and goes on."""


class LeakError(MedclError):
    """A patient would be tested on who was also trained on."""
