"""DICOM files as all wings read them: header, pixels, and what a header claims."""

ASIDE = ("localizer", "derived image")
"""Flags of records that a scan leaves out unless asked for all images; they are then the reason in `status`."""
IRREGULAR = ("gantry tilt", "missing slices", "uneven spacing", "shifted slices")
"""How the flags begin of volumes whose slices do not lie on a regular, untilted grid."""
