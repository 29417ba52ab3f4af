"""Tables: numbers and categories of a patient, a study or a time."""
