"""Metrics, intervals and resampling: numbers in, numbers out."""
