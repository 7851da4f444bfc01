"""Words: what strangers call themselves, their files and their faces, fit to be shown and sent."""

from __future__ import annotations


def one_line(text: str) -> str:
    """Without control characters, which a terminal would obey, and line breaks: what people read and nothing acts on."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def in_a_header(text: str) -> str:
    """One line of ASCII, which is all that a field of HTTP holds (RFC 9110, section 5.5): a folder's name may have other letters."""
    return one_line(text).encode("ascii", "replace").decode()
