"""Evaluation of encoders: label fractions, probes, fine-tuning, segmentation, retrieval, pages of results."""
