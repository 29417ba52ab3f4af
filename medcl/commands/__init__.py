"""The commands of `medcl`, one function each. Heavy imports live inside them, so that help answers at once."""
