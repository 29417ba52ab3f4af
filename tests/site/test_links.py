"""`make links` finds the links that lead nowhere, on a server of this machine."""

import importlib.util
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType

import pytest

SOURCE = Path(__file__).parents[2] / "docs" / "_site" / "links.py"


class Site(BaseHTTPRequestHandler):
    """A page that is there, one that only GET is told, one for people alone, one that has moved; nothing else."""

    def do_HEAD(self) -> None:  # noqa: N802
        self.answer({"/here": 200, "/people": 403, "/moved": 301}.get(self.path, 404))

    def do_GET(self) -> None:  # noqa: N802
        self.answer({"/here": 200, "/get": 200}.get(self.path, 404))

    def answer(self, code: int) -> None:
        self.send_response(code)
        if code == 301:
            self.send_header("Location", "/here")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *about: object) -> None:
        """Say nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def links() -> ModuleType:
    spec = importlib.util.spec_from_file_location("links", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_links_that_lead_nowhere_are_named(
    links: ModuleType, address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    good = [
        f"[one]({address}/here#part)",
        f"<{address}/get>",
        f"[for people]({address}/people)",
        f"[old]({address}/moved)",
    ]
    page.write_text("\n".join([*good, "```", f"[in code]({address}/code)", "```"]))
    assert links.main([page]) == 0
    assert capsys.readouterr().out == "4 links to other sites, 0 of them lead nowhere\n"
    page.write_text(f"[gone]({address}/gone) [no server](http://127.0.0.1:1/)")
    assert links.main([page]) == 1
    told = capsys.readouterr().out
    assert f"page.md: {address}/gone: 404 Not Found" in told
    assert "2 links to other sites, 2 of them lead nowhere" in told


def test_every_page_of_the_checkout_is_looked_at(links: ModuleType) -> None:
    names = {path.name for path in links.pages()}
    assert {"README.md", "CHANGELOG.md", "start.md", "dicom.md"} <= names
