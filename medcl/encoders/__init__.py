"""Batches -> embeddings."""
