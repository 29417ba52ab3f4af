"""Random views of tables."""
