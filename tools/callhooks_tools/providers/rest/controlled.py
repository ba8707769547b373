"""The providers whose REST APIs follow up calls."""

from __future__ import annotations

from enum import StrEnum


class Provider(StrEnum):
    """A provider with such an API."""

    JAMBONZ = "jambonz"
    WAVIX = "wavix"
    BIRD = "bird"
    VOIPSTUDIO = "voipstudio"
