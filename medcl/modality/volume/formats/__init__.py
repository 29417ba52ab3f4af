"""One file format each -> a volume."""
