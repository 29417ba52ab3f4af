"""Random views of a batch, computed on its device and replayable from their parameters."""
