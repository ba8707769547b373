"""Lists of calls as CSV (RFC 4180), for spreadsheets."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from datetime import datetime, tzinfo

from callhooks.call_log.listing import ListedCall

CSV_CONTENT_TYPE = "text/csv"

_MEMBERS = [(field.alias or name, name) for name, field in ListedCall.model_fields.items()]
_NUMBER = re.compile(r"\+[0-9]{1,15}", re.ASCII)
# Spreadsheets run what starts with one of these signs; some accept their wide forms.
_SIGNS = "=+\\-@\uff1d\uff0b\uff0d\uff20"
# Some split a line at semicolons or tabs, too, and skip what is invisible.
_SEPARATORS = ';,\t\r\n"'
_SKIPPED = f"{_SEPARATORS}\\s\x00-\x1f\x7f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
_FORMULA = re.compile(f"(?<![{_SKIPPED}])([{_SKIPPED}]*)([{_SIGNS}])")


def csv_text(calls: Iterable[ListedCall], zone: tzinfo, *, header: bool) -> str:
    """Return calls as lines of CSV, with their times in a zone."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    if header:
        writer.writerow([title for title, _ in _MEMBERS])
    writer.writerows([_cell(getattr(call, name), zone) for _, name in _MEMBERS] for call in calls)
    return text.getvalue()


def _cell(value: object, zone: tzinfo) -> object:
    if isinstance(value, datetime):
        return value.astimezone(zone).isoformat(timespec="milliseconds")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return _harmless(" > ".join(value))
    return _harmless(value) if isinstance(value, str) else value


def _harmless(text: str) -> str:
    """Return a text that no spreadsheet runs: an apostrophe stands before each start of a formula.

    A number such as `+14155550100` stays as it is: it has no operator, so nothing can be run.
    """
    if _NUMBER.fullmatch(text):
        return text
    text = _FORMULA.sub(_without_formula, text)
    return f"'{text}" if text.startswith(("\t", "\r", "\n")) else text


def _without_formula(found: re.Match[str]) -> str:
    before, sign = found.groups()
    if set(before) & set(_SEPARATORS):
        return f"{before}'{sign}"
    return f"'{before}{sign}" if found.start() == 0 else before + sign
