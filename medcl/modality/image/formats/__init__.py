"""One file format each -> an image."""
