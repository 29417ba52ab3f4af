"""Reports: text of radiologists and others, in sections and sentences."""
