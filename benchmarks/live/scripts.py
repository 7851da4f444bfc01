"""Scripts: what benchmarks run in a page of a real browser; what several of them need is put where they name it."""

from __future__ import annotations

from pathlib import Path

from benchmarks.live import barcode

HERE = Path(__file__).parent
SHARED = "barcode.js"
BARCODE = {
    "bits": barcode.BITS,
    "checkBits": barcode.CHECK_BITS,
    "block": barcode.BLOCK,
    "dark": barcode.DARK,
    "light": barcode.LIGHT,
}
"What a page has to be told to read it."


def script(name: str) -> str:
    """The function in benchmarks/live/`name`, as a page evaluates it: without the two lines that say what it is for."""
    whole = (HERE / name).read_text().replace(f"  // {SHARED}\n", (HERE / SHARED).read_text())
    return whole.split("\n", 2)[2].rstrip().rstrip(";")
