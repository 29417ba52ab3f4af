"""What mkdocs cannot know: pages made from the code, and files of the checkout that pages link to.

Pages stay readable where they lie: `../pipelines/ecg_comet.yaml` is a link of a checkout, and of the site a copy.
"""

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(ROOT))

import reference  # noqa: E402

# Outside of docs/ -> where it is found on the site.
PAGES = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md", "SECURITY.md": "reporting.md"}
FOLDERS = ("pipelines", "datasets", "notebooks")
COPIED = ("*.yaml", "*.ipynb", "*.py")
SHIM = "https://unpkg.com/iframe-worker/shim"
_OUTSIDE = re.compile(r"\]\((?:\.\./)+(?=[A-Z]|pipelines|datasets|notebooks)")


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages, and what pages link to outside of docs/."""
    generated = {
        "reference/commands.md": reference.commands(),
        "reference/recipe.md": reference.recipe(),
        "reference/python.md": reference.python(),
        **{page: (ROOT / name).read_text(encoding="utf-8") for name, page in PAGES.items()},
    }
    for page, text in generated.items():
        files.append(File.generated(config, page, content=text))
    for folder in FOLDERS:
        for path in sorted(one for pattern in COPIED for one in (ROOT / folder).rglob(pattern)):
            place = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, place, abs_src_path=str(path)))
    for name in ("LICENSE", "CITATION.cff", "README.md"):
        files.append(File.generated(config, f"{name}.txt", content=(ROOT / name).read_text(encoding="utf-8")))
    return files


def on_post_page(output: str, page: Any, **rest: Any) -> str:
    """Take the script that lets the search work from a folder from the folder itself, not from the network."""
    return output.replace(SHIM, page.url.count("/") * "../" + "javascripts/iframe-worker.js")


def on_post_template(output_content: str, template_name: str, **rest: Any) -> str:
    """The same for the page of wrong addresses, which is opened from a server alone."""
    return output_content.replace(SHIM, "/javascripts/iframe-worker.js")


def on_page_markdown(markdown: str, page: Any, **rest: Any) -> str:
    """Turn links out of docs/ into links to the copies."""
    up = "../" * page.file.src_uri.count("/")
    if page.file.src_uri in PAGES.values():
        # Pages of the root link to docs/ and to each other.
        markdown = markdown.replace("](docs/", "](")
        for name, place in PAGES.items():
            markdown = markdown.replace(f"]({name}", f"]({place}")
        markdown = re.sub(r"\]\((LICENSE|CITATION\.cff)\)", r"](\1.txt)", markdown)
    for name, place in PAGES.items():
        markdown = re.sub(rf"\]\((?:\.\./)+{name}", f"]({up}{place}", markdown)
    markdown = re.sub(r"\]\((?:\.\./)+(LICENSE|CITATION\.cff|README\.md)\)", rf"]({up}\1.txt)", markdown)
    return _OUTSIDE.sub(f"]({up}", markdown)
