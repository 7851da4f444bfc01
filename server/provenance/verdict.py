"""Verdict: what a file's content credentials come to, in words for people and for programs. Decides without I/O.

It reads the report of c2pa's reader (C2PA 2.2, section 15, names its codes).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from server.provenance.statement import CONSENTS, LABEL, SOURCE_TYPES, described

UNTRUSTED = "signingCredential.untrusted"
OUTDATED = ("signingCredential.expired", "claimSignature.outsideValidity")
SOURCES = {
    "compositeSynthetic": "put together, with synthetic parts",
    "trainedAlgorithmicMedia": "made by a trained model",
    "compositeCapture": "put together of what cameras took",
    "digitalCapture": "taken by a camera",
}


class Finding(StrEnum):
    """What a file is found to be, the best first."""

    VALID = "valid"
    UNVOUCHED = "unvouched"
    "Whole, and signed by a key nobody here vouches for: anybody can have made it."
    CHANGED = "changed"
    UNSIGNED = "unsigned"
    UNREADABLE = "unreadable"


EXIT = {Finding.VALID: 0, Finding.UNVOUCHED: 3, Finding.CHANGED: 4, Finding.UNSIGNED: 5, Finding.UNREADABLE: 1}
"What `verify` ends with; 2 is a command that was not understood."


@dataclass(frozen=True)
class Verdict:
    """Of one file."""

    finding: Finding
    words: str
    "One sentence or two."
    signer: str = ""
    "Whom the certificate names, which is a claim where nobody vouches for it."
    stated: Mapping[str, Any] = field(default_factory=dict)
    "Our own assertion, as it is signed; empty where there is none, or where nothing of the file can be believed."
    made_by: str = ""
    "The program, as it says."
    lines: tuple[tuple[str, str], ...] = ()
    "What is stated, for people: what, and how."
    codes: tuple[str, ...] = ()
    "What the reader found wrong, as C2PA calls it."

    def told(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def unsigned() -> Verdict:
    """Of a file without credentials."""
    return Verdict(
        Finding.UNSIGNED,
        "It carries no content credentials: nothing says where it comes from. What saved or sent it may have taken them out, "
        "as most programs do that convert or trim films.",
    )


def unreadable(why: str) -> Verdict:
    """Of what cannot be looked into."""
    return Verdict(Finding.UNREADABLE, f"It cannot be looked into: {why}.")


def verdict(report: Mapping[str, Any]) -> Verdict:
    """Of a file whose reader reports so (c2pa.Reader.json)."""
    active = report.get("manifests", {}).get(report.get("active_manifest"), {})
    codes = tuple(status["code"] for status in report.get("validation_status", []))
    signer = _signer(active.get("signature_info", {}))
    wrong = [code for code in codes if code not in (UNTRUSTED, *OUTDATED)]
    if wrong or (report.get("validation_state") == "Invalid" and not set(codes) & set(OUTDATED)):
        return Verdict(
            Finding.CHANGED,
            "It is not as it was when it was signed: pictures, sound or the statement have been changed since. Believe nothing that "
            "it says of itself.",
            signer,
            codes=codes,
        )
    stated = _assertion(active, LABEL)
    known = {
        "signer": signer,
        "stated": stated,
        "made_by": _program(active),
        "lines": tuple(_lines(active, stated)),
        "codes": codes,
    }
    if UNTRUSTED in codes or set(codes) & set(OUTDATED):
        return Verdict(Finding.UNVOUCHED, _unvouched(codes), **known)
    return Verdict(Finding.VALID, "It is unchanged since it was signed, by a key that is vouched for here.", **known)


def _unvouched(codes: tuple[str, ...]) -> str:
    if UNTRUSTED in codes:
        return (
            "It is unchanged since it was signed, but by a key that nobody here vouches for: anybody can make such a key, and "
            "whoever made this one can have stated anything."
        )
    return (
        "It is unchanged since it was signed, but the signer's certificate is out of date, and no trusted clock says that it was "
        "signed before that."
    )


def _signer(info: Mapping[str, Any]) -> str:
    return ", ".join(str(info[part]) for part in ("issuer", "common_name") if info.get(part))


def _program(active: Mapping[str, Any]) -> str:
    named = (active.get("claim_generator_info") or [{}])[0]
    return " ".join(str(named[part]) for part in ("name", "version") if named.get(part))


def _assertion(active: Mapping[str, Any], label: str) -> dict[str, Any]:
    for one in active.get("assertions", []):
        if one.get("label") == label and isinstance(one.get("data"), dict):
            return one["data"]
    return {}


def _lines(active: Mapping[str, Any], stated: Mapping[str, Any]) -> list[tuple[str, str]]:
    actions = _assertion(active, "c2pa.actions.v2") or _assertion(active, "c2pa.actions")
    sources = [str(one.get("digitalSourceType", "")) for one in actions.get("actions", [])]
    source = next((one.removeprefix(SOURCE_TYPES) for one in sources if one), "")
    lines = [("Made by", _program(active)), ("How it came to be", SOURCES.get(source, source))]
    try:
        lines += lines_of(stated) if stated else []
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, OSError):
        # another program's, another version's, or a stranger's joke: a time in the year 10^290
        lines.append(("Statement", "in a form that this version does not know"))
    return [(what, how) for what, how in lines if how]


def lines_of(stated: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is stated (Statement.told), for people: what, and how. Raises what Python does where it is no statement."""
    consent, engine, tiling = stated["consent"], stated["engine"], stated["tiling"]
    seated = engine.get("members") or [engine]
    lines = [
        ("What it shows", described(stated)),
        ("Consent to the portrait", CONSENTS.get(consent["category"], consent["category"])),
        ("Began", f"{_moment(stated['began']):%Y-%m-%d %H:%M} UTC"),
        ("Engine", "; ".join(_built(one) for one in seated)),
        ("Mark in every view", f"“{stated['mark']}”" if stated["mark"] else "switched off by the operator"),
        ("Views", f"{tiling['views']}, in {tiling['columns']} x {tiling['rows']} tiles" if tiling else ""),
    ]
    if stated.get("geometry"):
        lines.append(("Geometry", "the head leaves the server as geometry, and is drawn where it is seen"))
    if stated.get("shown"):
        lines.append(("Also shown on", ", ".join(stated["shown"])))
    if stated.get("agreed"):
        lines.append(("Consent to the recording", f"all {stated['agreed']['members']} members of the call agreed"))
    if stated.get("likeness") in LIKENESS:
        lines.append(("Caller and portrait", LIKENESS[stated["likeness"]]))
    return [(what, how) for what, how in lines if how]


def _built(engine: Mapping[str, Any]) -> str:
    weights = [f"{file} {digest[:12]}…" for file, digest in engine["weights"].items()]
    return ", ".join([engine["name"], f"code {engine['code_sha256'][:12]}…", *(weights or ["without weights"])])


def _moment(began: str | float) -> datetime:
    return datetime.fromtimestamp(began, UTC) if isinstance(began, int | float) else datetime.fromisoformat(began)


LIKENESS = {
    "alike": "looked alike, when they were compared",
    "unlike": "did not look alike, when they were compared",
    "unlike-confirmed": "did not look alike; the caller said that the person shown had agreed",
}
