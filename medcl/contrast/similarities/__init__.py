"""Similarities: how alike two embeddings, or several, are."""
