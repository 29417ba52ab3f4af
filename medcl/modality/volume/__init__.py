"""Volumes: CT, MR and others, in RAS+ and mm."""
