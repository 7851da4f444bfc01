"""Reading: a file's content credentials, in a process of its own: `python -m server.provenance.reading FILE`, anchors on stdin.

A stranger's file goes through parsers of native code, so they get little memory and time, no network, and can be killed.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

from server.provenance.verdict import Verdict, unreadable, unsigned, verdict

WALL_SECONDS = 120.0
CPU_SECONDS = 60
"What 10 GB take that are hashed once (300 MB a second and core; twice as long on a slow one)."
MOST_REPORT = 4 << 20
"Characters of what a file states, which all come to us. Ours have 6000; a file may state hundreds of megabytes."
ADDRESS_SPACE = 2 << 30
"Bytes. A film is read in pieces; the interpreter and c2pa's library take 0.2 GB of addresses."
_ROOT = Path(__file__).parents[2]
SETTINGS = {
    "verify": {"verify_trust": True, "remote_manifest_fetch": False, "ocsp_fetch": False},
    "core": {"allowed_network_hosts": []},
}
"A file may name an address where its manifest lies: nobody is asked."


def examine(path: Path, anchors: bytes = b"") -> Verdict:
    """What the file at `path` is found to be; `anchors` (PEM) are vouched for. Never raises for what is in the file.

    Raises FileNotFoundError, IsADirectoryError, PermissionError where there is nothing to be read.
    """
    path.open("rb").close()
    process = subprocess.Popen(
        [sys.executable, "-m", "server.provenance.reading", str(path.resolve())],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/", env=_environment(), start_new_session=True,
    )  # fmt: skip
    try:
        answer, _ = process.communicate(anchors, WALL_SECONDS)
    except subprocess.TimeoutExpired:
        return unreadable("it takes too long")
    finally:
        process.kill()
        ended = process.wait()
    if ended in (-signal.SIGXCPU, -signal.SIGKILL):
        return unreadable("it takes too long")
    if ended:
        return unreadable("its reader broke off, so it is damaged, or built to be")
    return _judged(json.loads(answer))


def _judged(answer: dict) -> Verdict:
    match answer:
        case {"report": report}:
            return verdict(report)
        case {"none": _}:
            return unsigned()
        case _:
            return unreadable(answer.get("failure", "the reason is not known"))


def _environment() -> dict[str, str]:
    """Ours without our secrets."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TELEQUILT_")}
    return kept | {"PYTHONPATH": os.pathsep.join([str(_ROOT), *(part for part in sys.path if part)])}


def _read(path: str, anchors: bytes) -> dict[str, object]:
    """In the process of its own."""
    try:
        import c2pa
    except (ImportError, OSError, RuntimeError) as failure:
        return {"failure": f"c2pa-python cannot be loaded: pip install c2pa-python ({failure})"}
    settings = SETTINGS | ({"trust": {"user_anchors": anchors.decode()}} if anchors else {})
    try:
        with c2pa.Context.from_dict(settings) as context, c2pa.Reader(path, context=context) as reader:
            told = reader.json()
            return {"report": json.loads(told)} if len(told) <= MOST_REPORT else {"failure": "it states too much"}
    except (c2pa.C2paError, ValueError, OSError) as failure:
        if str(failure).startswith("ManifestNotFound"):
            return {"none": True}
        if str(failure).startswith("NotSupported"):
            return {"failure": "nothing of this kind carries content credentials; films, pictures and sound do"}
        return {"failure": str(failure).strip().splitlines()[0][:200]}


def _bounded() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    _bounded()
    sys.stdout.write(json.dumps(_read(sys.argv[1], sys.stdin.buffer.read())))
