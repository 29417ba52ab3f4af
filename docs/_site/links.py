"""Whether links to other sites lead somewhere: `make links`, which needs a network.

python docs/_site/links.py [PAGE.md ...]      # default: every page of the checkout
"""

import re
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"(?:\]\(|<)(https?://[^\s)>]+)")
FENCE = re.compile(r"^```.*?^```$", re.M | re.S)
SECONDS, TOGETHER = 20, 8
REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS)
"""What a site says to a program where a person may see the page."""


def pages() -> list[Path]:
    """Every page of the checkout."""
    return [
        *sorted(ROOT.glob("*.md")),
        *sorted((ROOT / "docs").rglob("*.md")),
        *sorted((ROOT / "datasets").glob("*.md")),
    ]


def links(paths: Iterable[Path]) -> dict[str, list[str]]:
    """Address -> the pages that link to it; what stands in blocks of code is no link."""
    found: dict[str, list[str]] = {}
    for path in paths:
        for address in LINK.findall(FENCE.sub("", path.read_text(encoding="utf-8"))):
            found.setdefault(address.partition("#")[0], []).append(path.name)
    return found


def problem(address: str) -> str:
    """Why an address leads nowhere; empty where it does, or where its site lets no program look."""
    for method in ("HEAD", "GET"):
        try:
            with urlopen(Request(address, method=method, headers={"User-Agent": "medcl"}), timeout=SECONDS):  # noqa: S310
                return ""
        except HTTPError as error:
            if error.code in REFUSED:
                return ""
            reason = f"{error.code} {error.reason}"
        except OSError as error:
            reason = str(getattr(error, "reason", error))
    return reason


def main(paths: list[Path]) -> int:
    """Look each link up once; 1 where one leads nowhere."""
    found = links(paths or pages())
    with ThreadPoolExecutor(TOGETHER) as pool:
        said = dict(zip(found, pool.map(problem, found), strict=True))
    for address, reason in said.items():
        if reason:
            print(f"{', '.join(dict.fromkeys(found[address]))}: {address}: {reason}")
    print(f"{len(found)} links to other sites, {sum(map(bool, said.values()))} of them lead nowhere")
    return int(any(said.values()))


if __name__ == "__main__":
    sys.exit(main([Path(one) for one in sys.argv[1:]]))
