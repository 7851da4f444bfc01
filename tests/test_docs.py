"""What README and docs name is there: paths and files, modules and subcommands that are run, their options, make's targets."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import aioice
import aiortc
import pytest
from typer.core import TyperGroup
from typer.main import get_command

from server.settings import Settings

ROOT = Path(__file__).parents[1]
DOCS = [
    ROOT / "README.md",
    ROOT / "SECURITY.md",
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
FOLDERS = ("server", "pipeline", "engines", "display", "benchmarks", "tests", "docs")

PATH = re.compile(rf"(?<![\w/.:~-])(?:{'|'.join(FOLDERS)})/[\w./*,{{}}-]+")
FILE = re.compile(r"(?<=`)[\w-]+\.(?:py|js|sh|toml)(?=`)")
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
RUN = re.compile(r"python -m ([\w.]+)((?: [^\s`|]+)*)")
MADE = {"benchmarks/results/on_gpu"}
"What running makes."
OPTION = re.compile(r"--[a-z-]+")
BRACES = re.compile(r"\{([\w.,]+)\}")


def documents():
    return pytest.mark.parametrize("document", DOCS, ids=lambda path: path.stem)


@documents()
def test_every_path_is_there(document: Path):
    named = {path.rstrip("./,") for path in PATH.findall(document.read_text())}
    assert [one for path in named for one in spread(path) if not found(one) and one not in MADE] == []


@documents()
def test_every_link_is_there(document: Path):
    assert [link for link in LINK.findall(document.read_text()) if not (document.parent / link).exists()] == []


@documents()
def test_every_file_that_is_named_without_its_folder_is_there(document: Path):
    assert set(FILE.findall(document.read_text())) <= files()


@documents()
def test_every_command_is_there(document: Path):
    wrong = [
        f"python -m {module}{words}" for module, words in RUN.findall(document.read_text()) if not runs(module, words)
    ]
    assert wrong == []


def test_every_target_of_make_is_there():
    makefile = (ROOT / "Makefile").read_text()
    named = {
        target for path in DOCS for target in re.findall(r"(?:^    |`)make ([a-z]+)", path.read_text(), re.MULTILINE)
    }
    assert named
    assert [target for target in named if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []


def test_every_command_of_the_command_line_is_in_readme():
    assert [
        name for name in command_line().commands if f"python -m server {name}" not in (ROOT / "README.md").read_text()
    ] == []


def test_every_benchmark_is_in_their_readme():
    names = {path.stem for path in (ROOT / "benchmarks").glob("*") if runs(f"benchmarks.{path.stem}", "")}
    assert "stage_times" in names
    assert [
        name
        for name in names
        if f"`python -m benchmarks.{name}`" not in (ROOT / "benchmarks" / "README.md").read_text()
    ] == []


def test_every_result_is_named_after_the_benchmark_that_made_it_or_told_of():
    makers = tuple(path.stem for path in (ROOT / "benchmarks").glob("[a-z]*"))
    results = [path.name for path in (ROOT / "benchmarks" / "results").glob("*.*")]
    said = "".join(path.read_text() for path in DOCS)
    assert [name for name in results if not name.startswith(makers) and name not in said] == []


@documents()
def test_every_variable_is_a_setting(document: Path):
    named = set(re.findall(r"TELEQUILT_([A-Z_]+)", document.read_text()))
    assert named <= {name.upper() for name in Settings.model_fields} | {"SHARED"}  # that one is the tests' own


def test_what_is_not_there_is_found_out():
    assert not found("server/nobody.py")
    assert not runs("benchmarks.nobody", "")
    assert not runs("server", " nobody --portrait me.jpg")
    assert not runs("server", " render --nobody")
    assert spread("a/{b,c}/d.py") == ["a/b/d.py", "a/c/d.py"]


def spread(path: str) -> list[str]:
    """`path` once for each word in its braces."""
    braces = BRACES.search(path)
    if not braces:
        return [path]
    return [
        one for word in braces[1].split(",") for one in spread(path[: braces.start()] + word + path[braces.end() :])
    ]


def found(path: str) -> bool:
    """Whether a file or folder has this name; a module may go without its .py."""
    return any(ROOT.glob(path)) or any(ROOT.glob(path + ".py"))


@cache
def files() -> set[str]:
    """The names of this project's files, and of the two libraries' that docs/upstream.md speaks of."""
    libraries = [Path(module.__path__[0]) for module in (aiortc, aioice)]
    kept = [path for folder in (*(ROOT / name for name in FOLDERS), *libraries) for path in folder.rglob("*.*")]
    return {path.name for path in (*kept, *ROOT.iterdir())}


def runs(module: str, words: str) -> bool:
    if module == "server":
        return understood(command_line(), words.split())
    if module.split(".")[0] not in FOLDERS:
        return module in ("pytest", "pip")
    path = ROOT / module.replace(".", "/")
    file = path.with_suffix(".py")
    return (path / "__main__.py").exists() or (file.exists() and '__name__ == "__main__"' in file.read_text())


@cache
def command_line() -> TyperGroup:
    from server.__main__ import app

    group = get_command(app)
    assert isinstance(group, TyperGroup)
    return group


def understood(command: Any, words: list[str]) -> bool:
    """Whether a command of typer's has the subcommands and options among `words`."""
    inner = getattr(command, "commands", {})
    if inner and words and words[0].isalpha():
        return words[0] in inner and understood(inner[words[0]], words[1:])
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)} | {
        "--help"
    }
    return all(word in options for word in words if OPTION.fullmatch(word))
