"""Files on disk -> manifest: scan, join labels, split."""
