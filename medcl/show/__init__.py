"""How records and results look: pages that are one file, thumbnails, contact sheets, numbers in words."""
