"""Words: what strangers call themselves, their files and their faces, fit to be shown."""

from __future__ import annotations


def one_line(text: str) -> str:
    """Without control characters, which a terminal would obey, and line breaks: what people read and nothing acts on."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
