"""Learn without labels: one method a file."""
