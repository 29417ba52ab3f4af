"""Manifest and store -> batches."""
