"""Views of images and volumes."""
