"""Run a function over records."""
