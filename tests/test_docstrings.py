"""What engines and display give to others says which shapes it takes and gives. That it says anything is ruff's D101 to D103."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ARRAY = re.compile(r"\b(Tensor|ndarray)\b")
NAMED = re.compile(r"\b(dict|Mapping|Callable)\[.*\]")
"Tensors by their names are a checkpoint's or a stage's, which say their shapes themselves."
SHAPE = re.compile(r"\[[^\]\n]*\]|shape|alike")


def public(body: list[ast.stmt], holder: str = "") -> Iterator[tuple[str, ast.FunctionDef, str]]:
    """Name, definition, and the docstring of the class that it belongs to."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            said = ast.get_docstring(node) or ""
            yield from ((f"{node.name}.{name}", found, said) for name, found, _ in public(node.body))
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node.name, node, holder


def of_arrays(node: ast.FunctionDef) -> bool:
    given = [one.annotation for one in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    return any(ARRAY.search(NAMED.sub("", ast.unparse(one))) for one in (*given, node.returns) if one is not None)


def silent(source: str) -> list[str]:
    """The public functions of arrays that say no shape: neither in the signature's comments nor in a docstring."""
    lines, found = source.splitlines(), []
    for name, node, holder in public(ast.parse(source).body):
        signature = " ".join(line.partition("#")[2] for line in lines[node.lineno - 1 : node.body[0].lineno - 1])
        if of_arrays(node) and not SHAPE.search(f"{ast.get_docstring(node)} {signature} {holder}"):
            found.append(name)
    return found


@pytest.mark.parametrize("package", ["display", "engines"])
def test_public_functions_of_arrays_say_their_shapes(package: str):
    files = sorted((ROOT / package).rglob("*.py"))
    assert len(files) > 15
    assert not {str(path.relative_to(ROOT)): names for path in files if (names := silent(path.read_text()))}


def test_a_function_that_says_none_is_found():
    assert silent('def turned(points: np.ndarray) -> float:\n    """Degrees."""\n') == ["turned"]
    assert silent('def turned(points: np.ndarray) -> float:  # [N, 3]\n    """Degrees."""\n') == []
    assert silent('class Head:\n    """Of points [N, 3]."""\n    def of(self) -> Tensor:\n        """Them."""\n') == []
    assert silent('def read(path: Path) -> dict[str, Tensor]:\n    """All."""\n') == []
