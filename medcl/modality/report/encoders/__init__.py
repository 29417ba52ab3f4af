"""Text encoders and their tokens."""
