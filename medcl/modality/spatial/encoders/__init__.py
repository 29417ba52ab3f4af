"""Networks for images and volumes."""
