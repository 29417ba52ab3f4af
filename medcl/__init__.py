"""medcl: contrastive learning on medical archives, from unlabelled recordings to encoders that need few labels."""

__version__ = "0.1.0"
