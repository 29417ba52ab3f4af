"""One file format each -> array, units and header."""
