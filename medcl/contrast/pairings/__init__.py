"""Pairings: who is positive for whom, and how much."""
