"""Reports in a manifest: a scan does not find them by their content, but where a rule says that they are."""

MODALITIES = ("report",)
