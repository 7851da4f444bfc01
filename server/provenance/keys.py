"""Keys: what this installation signs with: made when first needed, for its owner alone; or the operator's own.

A root of our own (no trust list knows it) vouches for the key that signs. That key is replaced once a year, and its private half is
deleted then; its certificate lasts ten years, since without trusted time a signature counts only while the certificate does.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

REPLACED_AFTER = timedelta(days=365)
"Of the key that signs."
CERTIFIED_FOR, ROOTED_FOR = timedelta(days=3650), timedelta(days=9000)
DAWN = timedelta(minutes=5)
"How far other machines' clocks may be behind ours."
ROOT, SIGNING = "root.pem", "signing.pem"
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
_PRIVATE = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


class KeyUnusable(RuntimeError):
    """The operator has to mend it; the message says which file, and how."""


@dataclass(frozen=True)
class Credential:
    """What a signature is made with."""

    chain: bytes
    "PEM: the certificate of the key, then who vouches for it."
    key: bytes
    "PEM, PKCS #8, unencrypted."
    algorithm: str
    "As C2PA calls it (specification 2.2, section 13.2)."
    ours: bool
    "Made here, and not the operator's own."

    @property
    def certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.chain)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, by which people tell keys apart."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    @property
    def issuer(self) -> str:
        return self.certificate.issuer.rfc4514_string()


class Keys:
    """May be used from any thread and by several servers at once on one folder."""

    def __init__(self, folder: Path, certificate: Path | None = None, key: Path | None = None) -> None:
        """`certificate` (PEM, the whole chain) and `key` (PEM, not encrypted): the operator's own, in place of ours in `folder`."""
        self.folder, self._certificate, self._key = folder, certificate, key

    @property
    def ours(self) -> bool:
        """Whether no operator's own is set."""
        return self._certificate is None or self._key is None

    @property
    def made(self) -> bool:
        """Whether there is one of ours by now."""
        return (self.folder / SIGNING).is_file()

    def credential(self) -> Credential:
        """What to sign with now; ours is made, or replaced, where it is time for that. Raises KeyUnusable."""
        if self._certificate is not None and self._key is not None:
            return _read(self._certificate, self._key)
        try:
            found = self._ours()
            if datetime.now(UTC) - found.certificate.not_valid_before_utc > REPLACED_AFTER:
                found = self.replace()
        except OSError as failure:
            raise KeyUnusable(f"{self.folder} cannot hold a key to sign with: {failure.strerror}") from None
        return found

    def replace(self, root: bool = False) -> Credential:
        """A new key in place of ours, and a new `root` where that may be known to others. Raises KeyUnusable, OSError.

        What was signed before stays valid; under another root it is no longer said to be this installation's.
        """
        if root:
            _put(self.folder / ROOT, _new_root(), over=True)
        _put(self.folder / SIGNING, self._new_signing(), over=True)
        return self._ours()

    def anchors(self) -> bytes:
        """PEM: who vouches for this installation's own signatures; empty where nothing was ever signed here."""
        found = b""
        with suppress(OSError, ValueError):
            found += _certificates((self.folder / ROOT).read_bytes())
        if self._certificate is not None:
            with suppress(OSError):
                found += self._certificate.read_bytes()
        return found

    def _ours(self) -> Credential:
        place = self.folder / SIGNING
        if not place.is_file():
            _put(place, self._new_signing(), over=False)
        return _read(place, place, ours=True)

    def _new_signing(self) -> bytes:
        place = self.folder / ROOT
        if not place.is_file():
            _put(place, _new_root(), over=False)
        held = place.read_bytes()
        try:
            root, root_key = x509.load_pem_x509_certificate(held), serialization.load_pem_private_key(held, None)
        except ValueError:
            raise KeyUnusable(f"{place} is damaged: python -m server signing replace --root") from None
        assert isinstance(root_key, ec.EllipticCurvePrivateKey)
        key = ec.generate_private_key(ec.SECP256R1())
        made = _certified(_named(_common(root)), root.subject, key.public_key(), CERTIFIED_FOR)
        usage = x509.ExtendedKeyUsage(
            [ExtendedKeyUsageOID.EMAIL_PROTECTION]
        )  # C2PA 2.2, section 14.5.1.1: one that lists know
        made = made.add_extension(x509.BasicConstraints(False, None), True).add_extension(_usage(signs=True), True)
        made = made.add_extension(usage, True).add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), False
        )
        leaf = made.sign(root_key, hashes.SHA256())
        return key.private_bytes(*_PRIVATE) + _pem(leaf) + _pem(root)


def _read(certificate: Path, key: Path, ours: bool = False) -> Credential:
    """Raises KeyUnusable where the two do not belong together."""
    mend = "python -m server signing replace" if ours else "see TELEQUILT_SIGNING_CERTIFICATE and TELEQUILT_SIGNING_KEY"
    try:
        private = serialization.load_pem_private_key(key.read_bytes(), None)
        chain = _certificates(certificate.read_bytes())
        belongs = x509.load_pem_x509_certificate(chain).public_key() == private.public_key()
    except (OSError, TypeError, ValueError) as failure:  # TypeError: encrypted
        raise KeyUnusable(
            f"{key} and {certificate} cannot be read as a key and its certificates ({failure}): {mend}"
        ) from None
    algorithm = _algorithm(private)
    if not belongs or algorithm is None:
        wrong = "is not for that key" if algorithm else "is for a kind of key that C2PA does not sign with"
        raise KeyUnusable(f"{certificate} {wrong}: {mend}")
    return Credential(chain, private.private_bytes(*_PRIVATE), algorithm, ours)


def _algorithm(key: object) -> str | None:
    match key:
        case ec.EllipticCurvePrivateKey():
            return _CURVES.get(key.curve.name)
        case ed25519.Ed25519PrivateKey():
            return "ed25519"
        case rsa.RSAPrivateKey():
            return "ps256"
    return None


def _new_root() -> bytes:
    key, name = ec.generate_private_key(ec.SECP256R1()), _named(f"installation {os.urandom(4).hex()}")
    made = _certified(name, name, key.public_key(), ROOTED_FOR)
    made = made.add_extension(x509.BasicConstraints(True, 0), True).add_extension(_usage(signs=False), True)
    return key.private_bytes(*_PRIVATE) + _pem(made.sign(key, hashes.SHA256()))


def _certified(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, lasting: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    made = made.serial_number(x509.random_serial_number()).not_valid_before(now - DAWN).not_valid_after(now + lasting)
    return made.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), False)


def _common(certificate: x509.Certificate) -> str:
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def _usage(signs: bool) -> x509.KeyUsage:
    """Of a key that signs files, or of one that signs certificates."""
    return x509.KeyUsage(
        digital_signature=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=not signs,
        crl_sign=not signs,
        encipher_only=False,
        decipher_only=False,
    )


def _named(common: str) -> x509.Name:
    """Nothing of the machine or of its owner."""
    parts = ((NameOID.ORGANIZATION_NAME, "Telequilt"), (NameOID.COMMON_NAME, common))
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in parts])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _certificates(pem: bytes) -> bytes:
    """Those in `pem`, without any key. Raises ValueError."""
    return b"".join(map(_pem, x509.load_pem_x509_certificates(pem)))


def _put(place: Path, content: bytes, over: bool) -> None:
    """Write `content` for its owner alone, whole or not at all; what is there stays unless `over`. Raises OSError."""
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, part = tempfile.mkstemp(prefix=".", dir=place.parent)  # 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(handle)
        if over:
            os.replace(part, place)
        else:
            with suppress(FileExistsError):  # another server was first: its one counts
                os.link(part, place)
    finally:
        Path(part).unlink(missing_ok=True)
