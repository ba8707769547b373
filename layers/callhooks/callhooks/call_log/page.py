"""Console page: one HTML document with inlined style and script, and a policy that allows nothing but those."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_STYLE = ('<link rel="stylesheet" href="console.css">', "style", "console.css")
_SCRIPT = ('<script type="module" src="console.js"></script>', "script", "console.js")


@dataclass(frozen=True, slots=True)
class Page:
    """HTML document and the content security policy that matches it."""

    html: str
    content_security_policy: str

    @property
    def headers(self) -> Mapping[str, str]:
        """Response headers. The page holds no data, so caches may store it; they must revalidate it on each request."""
        return {
            "content-type": "text/html; charset=utf-8",
            "content-security-policy": self.content_security_policy,
            "cache-control": "no-cache",
            "cross-origin-opener-policy": "same-origin",
            "cross-origin-resource-policy": "same-origin",
            "permissions-policy": "camera=(), geolocation=(), microphone=()",
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
        }


def load_page(folder: Path) -> Page:
    """Combine `console.html`, `console.css` and `console.js` of a folder into one page.

    Raises:
        OSError: a file cannot be read.
        ValueError: the document does not refer to each file exactly once, or a file contains its own closing tag.
    """
    html = (folder / "console.html").read_text("utf-8")
    html, style = _inline(html, folder, *_STYLE)
    html, script = _inline(html, folder, *_SCRIPT)
    policy = {
        "default-src": "'none'",
        "script-src": script,
        "style-src": style,
        "connect-src": "'self'",
        "img-src": "data:",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    return Page(html, "; ".join(f"{name} {value}" for name, value in policy.items()))


def _inline(html: str, folder: Path, reference: str, element: str, name: str) -> tuple[str, str]:
    """Replace a reference in the document with the file itself; return it with the hash for the policy."""
    content = (folder / name).read_text("utf-8")
    if html.count(reference) != 1:
        raise ValueError(f"console.html must contain {reference} exactly once")
    if f"</{element}" in content.lower():
        raise ValueError(f"{name} must not contain </{element}")
    opening = '<script type="module">' if element == "script" else "<style>"
    digest = base64.b64encode(hashlib.sha256(content.encode("utf-8")).digest()).decode("ascii")
    return html.replace(reference, f"{opening}{content}</{element}>"), f"'sha256-{digest}'"
