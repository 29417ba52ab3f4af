"""Signals: ECG, EEG and others, as channels over time."""
