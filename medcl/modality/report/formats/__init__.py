"""One file format each -> a report."""
