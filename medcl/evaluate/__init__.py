"""What an encoder is worth: label fractions, probes, fine-tuning, statistics, the report."""
