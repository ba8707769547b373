"""Console page: three files combined into one document, and its content security policy."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from callhooks.call_log.page import Page, load_page

from tests.support import ROOT

FOLDER = ROOT / "functions" / "call_log" / "page"
HTML = '<link rel="stylesheet" href="console.css"><script type="module" src="console.js"></script>'


def page_of(folder: Path, html: str = HTML, css: str = "p { color: red }", js: str = "go();") -> Page:
    for name, content in (("console.html", html), ("console.css", css), ("console.js", js)):
        (folder / name).write_text(content, "utf-8")
    return load_page(folder)


def policy_of(page: Page) -> dict[str, str]:
    return dict(directive.split(" ", 1) for directive in page.content_security_policy.split("; "))


def allowed(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def test_style_and_script_are_inlined_and_allowed_by_their_hashes(tmp_path: Path) -> None:
    page = page_of(tmp_path, css="p::before { content: 'é' }", js="say('é');\n")
    assert page.html == "<style>p::before { content: 'é' }</style><script type=\"module\">say('é');\n</script>"
    policy = policy_of(page)
    assert policy["style-src"] == allowed("p::before { content: 'é' }")
    assert policy["script-src"] == allowed("say('é');\n")


def test_the_page_has_security_headers_and_forbids_other_sources(tmp_path: Path) -> None:
    page = page_of(tmp_path)
    policy = policy_of(page)
    del policy["style-src"], policy["script-src"]
    assert policy == {
        "default-src": "'none'", "connect-src": "'self'", "img-src": "data:", "form-action": "'self'",
        "base-uri": "'none'", "frame-ancestors": "'none'", "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }  # fmt: skip
    assert page.headers["content-security-policy"] == page.content_security_policy
    expected = ("text/html; charset=utf-8", "nosniff", "no-referrer", "no-cache")
    names = ("content-type", "x-content-type-options", "referrer-policy", "cache-control")
    assert tuple(page.headers[name] for name in names) == expected


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"html": "<p>"}, "must contain <link"),
        ({"html": HTML + HTML}, "once"),
        ({"css": "p {} </STYLE>"}, r"must not contain </style"),
        ({"js": "const text = '</script>';"}, r"must not contain </script"),
    ],
)
def test_files_that_cannot_be_inlined_are_rejected(tmp_path: Path, files: dict[str, str], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        page_of(tmp_path, **files)


class Elements(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_console_loads_nothing_from_other_hosts() -> None:
    elements = Elements(load_page(FOLDER).html).tags
    assert not [attributes for _, attributes in elements if "style" in attributes or "src" in attributes]
    assert not [name for _, attributes in elements for name in attributes if name.startswith("on")]
    assert [attributes["href"] for tag, attributes in elements if tag == "link"][0:1] == [
        next(attributes["href"] for tag, attributes in elements if attributes.get("rel") == "icon")
    ]
    css, js = ((FOLDER / f"console.{kind}").read_text("utf-8") for kind in ("css", "js"))
    assert not re.search(r"url\(|@import|https?:", css)
    assert set(re.findall(r"https?://[^\s\"']+", js)) == {"http://www.w3.org/2000/svg"}


def test_the_console_never_parses_text_as_markup_or_logs_it() -> None:
    js = (FOLDER / "console.js").read_text("utf-8")
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "console."):
        assert word not in js
    assert "localStorage" not in js
    assert "sessionStorage" not in js
