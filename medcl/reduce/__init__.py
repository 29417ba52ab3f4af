"""Reduction: which records and slices of an archive are redundant, and which are kept."""
