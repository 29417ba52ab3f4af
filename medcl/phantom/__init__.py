"""Synthetic patients, written to disk in the formats that hospitals use."""
