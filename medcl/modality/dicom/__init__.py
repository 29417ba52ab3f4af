"""DICOM files as all wings read them: header, pixels, and what a header claims."""
