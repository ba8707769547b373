"""The console's page: one document with its style and its script inside, and the policy that lets nothing else in."""

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
    """The document, and the policy that goes with exactly this document."""

    html: str
    content_security_policy: str

    @property
    def headers(self) -> Mapping[str, str]:
        """All headers of the answer. The page holds no data, so that anybody may keep it; it is asked for each time."""
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
    """Put `console.html`, `console.css` and `console.js` of a folder together.

    Raises:
        OSError: one of them cannot be read.
        ValueError: the document does not ask for them once each, or one of them would end its own element.
    """
    html = (folder / "console.html").read_text("utf-8")
    html, style = _inlined(html, folder, *_STYLE)
    html, script = _inlined(html, folder, *_SCRIPT)
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


def _inlined(html: str, folder: Path, reference: str, element: str, name: str) -> tuple[str, str]:
    """The document with a file in place of what refers to it, and the hash that allows it."""
    content = (folder / name).read_text("utf-8")
    if html.count(reference) != 1:
        raise ValueError(f"console.html must have {reference} once")
    if f"</{element}" in content.lower():
        raise ValueError(f"{name} must not have </{element}")
    opening = '<script type="module">' if element == "script" else "<style>"
    digest = base64.b64encode(hashlib.sha256(content.encode("utf-8")).digest()).decode("ascii")
    return html.replace(reference, f"{opening}{content}</{element}>"), f"'sha256-{digest}'"
