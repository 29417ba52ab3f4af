"""The mathematics of contrast: pairings and losses, without I/O."""
