"""Views of signals."""
