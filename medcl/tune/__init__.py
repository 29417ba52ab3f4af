"""A search over the settings of a recipe: what is varied, and which settings are given more steps."""
