"""Look at embeddings: projections, measures, neighbours, a page."""
