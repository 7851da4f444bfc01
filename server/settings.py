"""Settings: everything an operator may choose, from flags or TELEQUILT_* variables, checked before anything starts."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from display.screen import PRODUCT, screen
from engines.options import EngineOptions, default_data_dir
from engines.runtime import AUTO as AUTO_RUNTIME
from engines.runtime import check, check_precision
from pipeline.devices.placement import AUTO, named
from server.media.portraits import MOST_PIXELS
from server.provenance.keys import Keys


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server bound to `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_within(host: str, networks: tuple[str, ...]) -> bool:
    """Whether `host`, an address, is one of `networks`: addresses, or networks as 10.0.0.0/8."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return any(address in ipaddress.ip_network(network, strict=False) for network in networks)


def read_token(file: Path) -> str:
    """What `file` holds, without white space around it. Raises ValueError where that is nothing, or cannot be read."""
    try:
        token = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as failure:
        raise ValueError(f"the token's file cannot be read: {failure}") from None
    if not token:
        raise ValueError(f"the token's file is empty: openssl rand -hex 16 > {file}")
    return token


PROXIES = ("127.0.0.1", "::1")
"Those on this machine."


class Settings(BaseSettings):
    """What the server is told. Frozen: a running server never changes its mind."""

    # what was given stays out of errors, which are printed and logged: secrets are among it
    model_config = SettingsConfigDict(env_prefix="TELEQUILT_", frozen=True, extra="forbid", hide_input_in_errors=True)

    host: str = Field(default="127.0.0.1", description="Address to listen on; any but loopback needs a token.")
    port: int = Field(default=8000, ge=0, le=65535, description="0 takes a free one.")
    token: SecretStr | None = Field(default=None, description="What clients send as 'Authorization: Bearer ...'.")
    token_file: Path | None = Field(default=None, description="A file that holds the token, in its place.")
    call_key: SecretStr | None = Field(
        default=None,
        min_length=32,
        description="What tokens of calls are signed with, 32 bytes and more; one is made and kept in data_dir if unset.",
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Web origins besides our own pages that may call us, e.g. https://services.example."
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        default=PROXIES,
        description="Addresses or networks of proxies whose X-Forwarded-For says who asks; nobody else's does.",
    )
    data_dir: Path = Field(default_factory=default_data_dir, description="Where avatars are kept.")
    recordings_dir: Path | None = Field(default=None, description="Where recordings are kept; in data_dir if unset.")
    min_free_bytes: int = Field(
        default=1 << 30,
        ge=0,
        description="What disks keep free: recordings end, and no avatar is kept, before there is less.",
    )
    max_recording_seconds: float = Field(
        default=3600.0, gt=0, description="A recording ends by itself after this long."
    )
    ice_servers: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="stun:/turn: URLs, given to clients and used here. None unless listed: no third party is asked.",
    )
    turn_secret: SecretStr = Field(
        default=SecretStr(""),
        description="What the turn: servers listed know too (coturn: use-auth-secret, static-auth-secret): each session "
        "gets a credential of its own, for an hour.",
    )
    ice_for_clients_only: bool = Field(
        default=False,
        description="Clients are told ice_servers, this server does not ask them: it has a public address.",
    )
    udp_ports: str = Field(
        default="",
        pattern=r"^$|^\d{1,5}-\d{1,5}$",
        description="FIRST-LAST: the UDP ports that media come in at, for a firewall. Any that is free if unset.",
    )
    handover_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Where channels may be handed over to (WHIP): host names, addresses, networks. Nowhere unless listed; "
        "private addresses only as addresses or networks.",
    )

    engine: str = Field(default="relief", description="Engine of callers who name none.")
    face_landmarker: Path | None = Field(
        default=None, description="A face_landmarker.task of MediaPipe's Tasks API; the bundled models if unset."
    )
    identity_model: Path | None = Field(
        default=None,
        description="A folder with mobileface.json and mobileface.bin, by which a caller is told where the portrait does not look like "
        "them. Nobody is compared if unset.",
    )
    screen: str = Field(default=PRODUCT, description="Whose quilt is sent to viewers of the form 'quilt'.")
    placement: str = Field(
        default=AUTO, description="Which stage runs on which device: a preset, a .json file, or auto for what is there."
    )
    runtime: str = Field(default=AUTO_RUNTIME, description="How networks are run: eager, graphs, trt or auto.")
    precision: str = Field(
        default=AUTO_RUNTIME, description="What networks compute in: float32, bfloat16, float16 or auto."
    )
    superresolved: Literal["every", "second", "third"] = Field(
        default="every",
        description="Which of neighbouring views voodoo3d super-resolves; the others are warped from them.",
    )
    parametric_model: Path | None = Field(
        default=None, description="A head model of `python -m server train`, for the engine parametric."
    )
    synthetic_weights: bool = Field(
        default=False, description="For benchmarks and tests: neural engines without their weights. They show noise."
    )
    mark: bool = Field(default=True, description="The visible 'AI avatar' mark in every view.")
    geometry: bool = Field(
        default=True,
        description="Viewers may draw avatars themselves: their mesh and texture leave this server. Off: pictures alone.",
    )
    signing_certificate: Path | None = Field(
        default=None,
        description="PEM, the whole chain: what films and stills are signed with, in place of a key that is made in data_dir.",
    )
    signing_key: Path | None = Field(default=None, description="Its private key: PEM, not encrypted.")
    timestamp_authority: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="RFC 3161: who is asked when something was signed. Nobody unless set.",
    )
    bitrate: int | None = Field(
        default=None, ge=200_000, le=200_000_000, description="Bits per second of a stream; by size if unset."
    )
    frames_per_second: int = Field(default=25, ge=1, le=120, description="What encoders plan for; slower is fine.")

    adapt: bool = Field(
        default=True,
        description="Where pictures would grow old, make them with less detail: smaller, of fewer views. Off: always all of it.",
    )

    max_avatars: int = Field(default=500, ge=1, description="Avatars kept at once, each of 2.3 MB.")
    max_channels: int = Field(default=4, ge=1, description="Callers at once.")
    max_viewers: int = Field(default=16, ge=1, description="Viewers of one channel at once.")
    max_forms: int = Field(
        default=4,
        ge=1,
        description="Forms (the quilt, single views) of one channel encoded at once; each is an encoder.",
    )
    max_packets: int = Field(
        default=12_000,
        ge=100,
        description="RTP packets a second to all viewers together; one event loop sends them all.",
    )
    max_sdp_bytes: int = Field(default=128 * 1024, ge=1024, description="Largest SDP body.")
    max_portrait_bytes: int = Field(default=20 * 1024 * 1024, ge=1024, description="Largest portrait file.")
    max_verified_bytes: int = Field(
        default=1 << 30, ge=1024, description="Largest file that the page /verify takes; the command line takes any."
    )
    max_portrait_pixels: int = Field(
        default=MOST_PIXELS, ge=512 * 512, description="Most pixels a portrait may decode to."
    )
    max_picture_pixels: int = Field(
        default=3840 * 2160,
        ge=64 * 64,
        description="Most pixels of a caller's pictures; larger ones are dropped undecoded.",
    )
    enrol_seconds: float = Field(default=60.0, gt=0, description="Longest that preparing a portrait may take.")
    undecoded_seconds: float = Field(
        default=30.0, gt=0, description="A channel of which nothing can be decoded for so long ends."
    )
    still_seconds: float = Field(
        default=600.0, gt=0, description="A channel whose source stands still for so long ends."
    )
    connect_seconds: float = Field(
        default=10.0, gt=0, description="Longest that a peer may take from its offer to its first packet."
    )

    @model_validator(mode="before")
    @classmethod
    def _token_from_its_file(cls, given: dict[str, object]) -> dict[str, object]:
        file = given.get("token_file")
        return given if not file else given | {"token": read_token(Path(str(file)))}

    @field_validator("allowed_origins", "trusted_proxies", "ice_servers", "handover_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """Environment variables carry lists as words parted by commas."""
        return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value

    @field_validator("token")
    @classmethod
    def _token_fits_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        """Else nobody could ever send it, and whoever runs this server would look for the mistake elsewhere."""
        token = value.get_secret_value() if value is not None else ""
        if token != token.strip() or not all(" " <= sign <= "~" for sign in token):
            raise ValueError(
                "a token is letters, digits and signs of ASCII, with no space around it: openssl rand -hex 16 makes one"
            )
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _proxies_are_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for proxy in value:
            try:
                ipaddress.ip_network(proxy, strict=False)
            except ValueError:
                raise ValueError(f"{proxy!r} is no address and no network; for instance 10.0.0.0/8") from None
        return value

    @field_validator("screen")
    @classmethod
    def _screen_exists(cls, value: str) -> str:
        screen(value)
        return value

    @field_validator("placement")
    @classmethod
    def _placement_exists(cls, value: str) -> str:
        if value != AUTO:
            named(value)
        return value

    @field_validator("runtime")
    @classmethod
    def _runtime_exists(cls, value: str) -> str:
        return check(value)

    @field_validator("precision")
    @classmethod
    def _precision_exists(cls, value: str) -> str:
        return check_precision(value)

    @field_validator("ice_servers")
    @classmethod
    def _ice_scheme(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for url in value:
            if url.split(":", 1)[0] not in ("stun", "stuns", "turn", "turns"):
                raise ValueError(f"{url!r} is not an ICE server; it begins with stun:, turn: or turns:")
        return value

    @field_validator("udp_ports")
    @classmethod
    def _ports_exist(cls, value: str) -> str:
        if value:
            first, last = (int(port) for port in value.split("-"))
            if not 0 < first <= last <= 65535:
                raise ValueError(f"{value} is no range of ports; for instance 50000-50199")
        return value

    @model_validator(mode="after")
    def _turn_needs_its_secret(self) -> Settings:
        if any(url.startswith("turn") for url in self.ice_servers) and not self.turn_secret.get_secret_value():
            raise ValueError(
                "a turn: server needs TELEQUILT_TURN_SECRET, which coturn knows as static-auth-secret (with use-auth-secret): "
                "each client gets a credential of its own"
            )
        return self

    @model_validator(mode="after")
    def _certificates_need_their_key(self) -> Settings:
        if (self.signing_certificate is None) != (self.signing_key is None):
            raise ValueError(
                "TELEQUILT_SIGNING_CERTIFICATE and TELEQUILT_SIGNING_KEY belong together: set both or none"
            )
        return self

    @model_validator(mode="after")
    def _open_to_others_needs_token(self) -> Settings:
        if not is_loopback(self.host) and not (self.token and self.token.get_secret_value()):
            raise ValueError(
                f"listening on {self.host} lets others in, so a token is needed: set TELEQUILT_TOKEN or TELEQUILT_TOKEN_FILE"
            )
        return self

    @property
    def engine_options(self) -> EngineOptions:
        return EngineOptions(
            data_dir=self.data_dir,
            runtime=self.runtime,
            precision=self.precision,
            superresolved=self.superresolved,
            parametric_model=self.parametric_model,
            synthetic_weights=self.synthetic_weights,
        )

    @property
    def media_ports(self) -> range | None:
        """Where media come in; None for anywhere."""
        if not self.udp_ports:
            return None
        first, last = self.udp_ports.split("-")
        return range(int(first), int(last) + 1)

    @property
    def recordings(self) -> Path:
        return self.recordings_dir or self.data_dir / "recordings"

    @property
    def provenance_dir(self) -> Path:
        """Where keys that sign lie, and the log of consent."""
        return self.data_dir / "provenance"

    @property
    def keys(self) -> Keys:
        """What films and stills are signed with."""
        return Keys(self.provenance_dir, self.signing_certificate, self.signing_key)

    @property
    def private(self) -> bool:
        """Only this machine can reach us, so whoever calls is its user."""
        return is_loopback(self.host)
