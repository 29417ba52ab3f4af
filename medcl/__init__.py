"""medcl: contrastive learning on medical archives, from unlabelled recordings to encoders that need few labels."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medcl.embed.embedder import Embedder
    from medcl.explore.embeddings import Embeddings

__version__ = "0.1.0"
__all__ = ["Embedder", "Embeddings", "__version__"]


def __getattr__(name: str) -> Any:
    """Import what is asked for: `medcl --help` waits for none of it."""
    if name == "Embeddings":
        from medcl.explore.embeddings import Embeddings

        return Embeddings
    if name == "Embedder":
        from medcl.embed.embedder import Embedder

        return Embedder
    raise AttributeError(f"module 'medcl' has no attribute {name!r}")
