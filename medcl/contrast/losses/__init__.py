"""Losses, one a file: embeddings and a pairing -> a number."""
