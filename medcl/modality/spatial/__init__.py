"""What images and volumes share: views and networks in two and in three dimensions."""

MODALITIES = ("ct", "mr", "pt", "xray", "mg", "us", "xa", "nm", "es", "op", "photo", "image")
"""What the manifest may call their modality: of most, one object is a volume and another an image."""
