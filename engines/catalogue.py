"""Catalogue: which engines there are and which can run here. The only file that reaches into an engine's folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any

from engines.contract import Abilities, AnyEngine, UnknownEngine, WeightsMissing
from engines.options import EngineOptions
from engines.runtime import HasComponents
from engines.weights import CheckpointRejected, Progress, Published, sha256

DEFAULT, LIVE, TAKING = "relief", "live", "splats"
"What shows a portrait where nothing is said, what shows whoever has none, and what takes avatars that were made elsewhere."
TAKEN = b"PK\x03\x04"
"How a file begins that TAKING takes: a zip. All else is taken for a photo."

_WHERE = {
    "relief": "engines.relief.engine",
    "live": "engines.relief.live",
    "parametric": "engines.parametric.engine",
    "splats": "engines.splats.engine",
    "voodoo3d": "engines.voodoo3d.engine",
    "rome": "engines.rome.engine",
    "rome-linear": "engines.rome.linear",
}
_CHECKPOINTS = {
    "voodoo3d": "engines.voodoo3d.checkpoint",
    "rome": "engines.rome.checkpoint",
    "rome-linear": "engines.rome.linear_checkpoint",
}
"Of each engine that wants published weights: the module that knows them."
_DISTILLATIONS = {"rome": "engines.rome.distillation.run"}
"Of each engine that a quicker one can be distilled from: the module that does it."


_BUILT_ON = {"rome-linear": ("rome",)}
"Of each engine that runs other engines' weights besides its own: whose."


@dataclass(frozen=True)
class Build:
    """Which build of an engine made something, for whoever asks later."""

    name: str
    code_sha256: str
    "Of the Python files in its folder, by name; what engines share is the program's version."
    weights: Mapping[str, str]
    "File -> SHA-256 of its bytes; none for an engine without weights."
    synthetic: bool = False
    "Its weights were invented: what it shows is noise."


@dataclass(frozen=True)
class Listed:
    """An engine as it is shown to people."""

    name: str
    summary: str
    failure: str | None
    "Why it cannot run here, and what mends it; None if it can."


def names() -> list[str]:
    """What engines are called, the default first."""
    return list(_WHERE)


_loaded: dict[tuple[str, EngineOptions], AnyEngine | Exception] = {}
_loading = Lock()


def _load(name: str, options: EngineOptions) -> AnyEngine | Exception:
    with _loading:  # two who ask at once get one engine
        key = name, options
        if key not in _loaded:
            try:
                _loaded[key] = import_module(_WHERE[name]).ENGINE(options)
            except WeightsMissing as missing:  # looked for again: somebody may import them meanwhile
                return missing
            except Exception as failure:  # a broken engine must not take the others down; it is tried once
                _loaded[key] = failure
        return _loaded[key]


def load(name: str = DEFAULT, options: EngineOptions = EngineOptions()) -> AnyEngine:
    """The engine called `name` with these options, made once per process. Raises UnknownEngine, or what kept it from loading."""
    _check(name)
    loaded = _load(name, options)
    if isinstance(loaded, Exception):
        raise loaded
    return loaded


def abilities(name: str) -> Abilities:
    """What the engine called `name` can, loaded or not. Raises UnknownEngine."""
    _check(name)
    return import_module(_WHERE[name]).ENGINE.abilities


def _check(name: str) -> None:
    if name not in _WHERE:
        raise UnknownEngine(f"no engine is called {name!r}; there are: {', '.join(_WHERE)}")


@cache
def build(name: str, options: EngineOptions = EngineOptions()) -> Build:
    """Which build the engine called `name` is, looked at once: a running engine keeps what it has loaded. Raises UnknownEngine, OSError."""
    _check(name)
    synthetic = options.synthetic_weights and (name in _CHECKPOINTS)
    read = {path.name: sha256(path, lambda *_: None) for path in ([] if synthetic else _weights(name, options))}
    return Build(name, _code(_WHERE[name].rpartition(".")[0]), read, synthetic)


def _code(package: str) -> str:
    """SHA-256 of names and contents of the Python files in `package`, folders in it left out."""
    spec, digest = find_spec(package), hashlib.sha256()
    assert spec is not None, package
    for folder in spec.submodule_search_locations or ():
        for path in sorted(Path(folder).glob("*.py")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _weights(name: str, options: EngineOptions) -> list[Path]:
    """Where the weights lie that the engine called `name` reads."""
    if name == "parametric":
        shipped = import_module("engines.parametric.checkpoint").SHIPPED
        return [options.parametric_model or Path(__file__).parent / "parametric" / shipped]
    return [one.place(options.weights) for one in _published(name)]


def _published(name: str) -> list[Published]:
    """The weights that the engine called `name` reads, those of what it is built on among them."""
    engines = (name, *_BUILT_ON.get(name, ()))
    return [import_module(_CHECKPOINTS[one]).PUBLISHED for one in engines if one in _CHECKPOINTS]


def check_weights(name: str, options: EngineOptions = EngineOptions()) -> None:
    """Look for the published weights of the engine called `name`, and load none. Raises UnknownEngine, or WeightsMissing."""
    _check(name)
    wanted = _published(name)
    if wanted and not options.synthetic_weights:
        import_module("engines.loading").check_there(name, wanted, options.weights)


def with_networks() -> list[str]:
    """The engines that have networks for a runtime to run."""
    return [name for name in _WHERE if abilities(name).networks]


def networks(name: str, options: EngineOptions = EngineOptions()) -> HasComponents:
    """The engine called `name`, with its weights. Raises UnknownEngine, or what kept it from loading."""
    loaded: Any = load(_with_networks(name), options)
    return loaded


def on_trial(name: str, small: bool = False) -> HasComponents:
    """The engine called `name` with invented weights (runtime.HasComponents.on_trial). Raises UnknownEngine."""
    return import_module(_WHERE[_with_networks(name)]).ENGINE.on_trial(small)


def _with_networks(name: str) -> str:
    if name not in with_networks():
        raise UnknownEngine(f"no engine with networks is called {name!r}; there are: {', '.join(with_networks())}")
    return name


def listing(options: EngineOptions = EngineOptions()) -> list[Listed]:
    """Every engine, loadable or not."""
    rows = []
    for name in _WHERE:
        loaded = _load(name, options)
        failed = isinstance(loaded, Exception)
        summary = "" if failed else (type(loaded).__doc__ or "").strip().splitlines()[0]
        rows.append(Listed(name, summary, f"{type(loaded).__name__}: {loaded}" if failed else None))
    return rows


def published() -> list[Published]:
    """The weights that engines want, whether they are here or not."""
    return [import_module(module).PUBLISHED for module in _CHECKPOINTS.values()]


def bring_weights(
    source: Path,
    folder: Path,
    engine: str | None = None,
    progress: Progress = lambda *_: None,
    beside: Mapping[str, Path] | None = None,
) -> Path:
    """Import a published checkpoint for `engine` into `folder`, by default the one whose file has this name, and the files `beside`
    it that it takes (Published.takes). Returns where it lies now.

    Raises UnknownEngine, weights.CheckpointRejected or OSError.
    """
    by_name = {wanted.file: wanted.engine for wanted in published()}
    chosen = engine or by_name.get(source.name)
    if chosen not in _CHECKPOINTS:
        raise UnknownEngine(
            f"no engine wants weights called {engine or source.name!r}; say which it is for: {', '.join(_CHECKPOINTS)}"
        )
    module = import_module(_CHECKPOINTS[chosen])
    useless = [f"--{name}" for name in beside or {} if name not in module.PUBLISHED.takes]
    if useless:
        raise CheckpointRejected(f"{chosen} takes no {' and no '.join(useless)}: {module.PUBLISHED.command}")
    return module.bring(source, folder, progress, beside)


def distillation(name: str) -> ModuleType:
    """What distils a quicker engine from the one called `name`: `Distillation` and its errors. Raises UnknownEngine."""
    if name not in _DISTILLATIONS:
        raise UnknownEngine(f"nothing is distilled from an engine {name!r}; there are: {', '.join(_DISTILLATIONS)}")
    return import_module(_DISTILLATIONS[name])
