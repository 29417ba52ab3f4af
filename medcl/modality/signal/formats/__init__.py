"""One file format each -> a recording."""
