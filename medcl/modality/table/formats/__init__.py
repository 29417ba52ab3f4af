"""Tables of patients: the file formats."""
