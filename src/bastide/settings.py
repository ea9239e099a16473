"""Settings: read once, here, into frozen values; each room receives its own part.

The environment is read nowhere else. Every name begins with `BASTIDE_`; a value that cannot be used
is refused at start with the name of the setting.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bastide.errors import BadSetting

DEFAULT_PORT = 8092
STALE_S = 900.0
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?")
_NUMBERS = re.compile(r"[0-9./]+")  # an address that is none


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Where the data lies: an embedded PostgreSQL in `home`, or the one that `database_url` names."""

    home: Path
    database_url: str | None = None  # a role that may create roles and owns the database; never a superuser
    app_url: str | None = None  # an ordinary login in role bastide_app, where the first may not create one
    postgres_folder: Path | None = None  # another donor of PostgreSQL binaries: a folder with bin/ and lib/
    pool_size_max: int = 16


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """Where the log's key and its last checkpoint are kept, and how the sequencer gathers."""

    home: Path
    gather_s: float = 0.1  # between two batches while events arrive
    idle_s: float = 0.5  # between two looks while none is announced
    batch_max: int = 4096


@dataclass(frozen=True, slots=True)
class TenancySettings:
    """How long who was let in lately is let in while the database is away."""

    stale_s: float = STALE_S


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """Where this house stands, and where its own provider records lie."""

    home: Path
    country: str | None = None  # ISO 3166-1 alpha-2 of the machine
    air_gap: bool = False
    allowed_networks: tuple[IPv4Network | IPv6Network, ...] = ()  # where runtimes of our own may stand
    decision_ttl_s: float = 30.0  # how long a permit may rest on one decision
    fresh_s: float = 2.0  # a tenant's policy is read again after this
    stale_s: float = STALE_S  # and not used after this, when it cannot be read


@dataclass(frozen=True, slots=True)
class WorkSettings:
    """How a worker of this process works, and when another may take over from a dead one."""

    concurrency: int = 16  # runs at a time in this process
    heartbeat_s: float = 2.0
    stale_s: float = 10.0  # a worker that was silent for so long has lost its runs
    poll_s: float = 1.0  # between two looks while nothing is announced
    grace_s: float = 10.0  # running steps may take so long once we are asked to stop
    keep_days: int = 30  # what an ended job was given and gave is kept so long


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """The organisation's own proxy, and what is reached without it."""

    host: str
    port: int
    tls: bool = False  # whether the proxy itself is spoken to under TLS
    socks: bool = False  # whether it is asked by SOCKS 5, not by HTTP
    credentials: str | None = field(default=None, repr=False)  # user:password
    direct_names: tuple[str, ...] = ()  # a name; or, with a dot in front, every name below it
    direct_networks: tuple[IPv4Network | IPv6Network, ...] = ()

    @property
    def place(self) -> str:
        """Host and port, as it may be told to anybody."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class EgressSettings:
    """What may be reached at all, and through whom. Raises BadSetting for a proxy behind a closed air gap."""

    air_gap: bool = False
    allowed_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    ca_file: Path | None = None
    proxy: ProxySettings | None = None
    connect_timeout_s: float = 10.0
    idle_timeout_s: float = 120.0  # between two pieces of an answer
    total_timeout_s: float = 900.0
    reply_bytes_max: int = 64 * 1024 * 1024

    def __post_init__(self) -> None:
        """A proxy is there to let things out, wherever it stands: no list of networks can bound what it reaches."""
        if self.air_gap and self.proxy is not None:
            raise BadSetting("The air gap is closed, and BASTIDE_PROXY would be a way through it: set one of the two.")


@dataclass(frozen=True, slots=True)
class InferenceSettings:
    """Which embedders and which re-ranker run in this process, and how wide."""

    home: Path
    embedder_folder: Path | None = None
    embedder_folders_beside: tuple[Path, ...] = ()
    reranker_folder: Path | None = None  # a cross-encoder with its ONNX graph
    threads: int = 2
    timeout_s: float = 120.0
    stale_s: float = STALE_S  # models that were read lately are called so long while the database is away
    allowed_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    eur_per_usd: float | None = None  # budgets are in euros; without it a dollar counts as one
    files_bytes_max: int = 10 * 1024 * 1024 * 1024  # of files of calls and what came of them, for each tenant


@dataclass(frozen=True, slots=True)
class KnowledgeSettings:
    """Limits of a document and of an export, when vectors get a partition of their own, when an intake closes."""

    document_bytes_max: int = 100 * 1024 * 1024
    export_bytes_max: int = 1024 * 1024 * 1024  # of originals in one export of a collection, or one import
    partition_chunks_min: int = 10_000
    intake_idle_s: float = 3600.0
    vision_pictures_max: int = 48  # of one document that vision models are shown; 0 = none
    vision_timeout_s: float = 300.0  # for all of them together

    @property
    def archive_bytes_max(self) -> int:
        """Of an export's zip file: what it holds, its manifest, its names, and what packing adds to packed bytes."""
        return self.export_bytes_max + 128 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where the doors open."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set, one part a room."""

    home: Path
    air_gap: bool
    store: StoreSettings
    audit: AuditSettings
    policy: PolicySettings
    egress: EgressSettings
    inference: InferenceSettings
    tenancy: TenancySettings = field(default_factory=TenancySettings)
    work: WorkSettings = field(default_factory=WorkSettings)
    knowledge: KnowledgeSettings = field(default_factory=KnowledgeSettings)
    server: ServerSettings = field(default_factory=ServerSettings)
    api_key: str | None = None  # for the command line as a client

    @classmethod
    def read(
        cls,
        home: Path | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        air_gap: bool | None = None,
        host: str | None = None,
        port: int | None = None,
    ) -> Settings:
        """The settings from the environment; named arguments win over it.

        Raises BadSetting, with the setting's name, for a value that cannot be used.
        """
        env = _Environment(os.environ if environment is None else environment)  # noqa: TID251
        place = (home or env.path("BASTIDE_HOME") or Path.home() / ".local" / "share" / "bastide").expanduser()
        place = place.absolute()
        gap = env.flag("BASTIDE_AIR_GAP") if air_gap is None else air_gap
        networks = env.networks("BASTIDE_ALLOWED_NETWORKS")
        stale_s = float(env.number("BASTIDE_STALE", int(STALE_S), 0, 86_400))
        server = ServerSettings(
            host=host or env.text("BASTIDE_HOST") or "127.0.0.1",
            port=port if port is not None else env.number("BASTIDE_PORT", DEFAULT_PORT, 0, 65535),
        )
        return cls(
            home=place,
            air_gap=gap,
            store=StoreSettings(
                home=place,
                database_url=env.text("BASTIDE_DATABASE_URL"),
                app_url=env.text("BASTIDE_DATABASE_APP_URL"),
                postgres_folder=env.path("BASTIDE_POSTGRES_FOLDER"),
                pool_size_max=env.number("BASTIDE_POOL_SIZE", 16, 2, 500),
            ),
            audit=AuditSettings(home=place),
            policy=PolicySettings(
                home=place, country=env.text("BASTIDE_COUNTRY"), air_gap=gap, allowed_networks=networks, stale_s=stale_s
            ),
            tenancy=TenancySettings(stale_s=stale_s),
            egress=EgressSettings(
                air_gap=gap, allowed_networks=networks, ca_file=env.path("BASTIDE_CA_FILE"), proxy=env.proxy()
            ),
            inference=InferenceSettings(
                home=place,
                embedder_folder=env.path("BASTIDE_EMBEDDER"),
                embedder_folders_beside=env.paths("BASTIDE_EMBEDDERS_BESIDE"),
                reranker_folder=env.path("BASTIDE_RERANKER"),
                threads=env.number("BASTIDE_THREADS", min(2, os.cpu_count() or 1), 1, 256),
                timeout_s=float(env.number("BASTIDE_MODEL_TIMEOUT", 120, 1, 3600)),
                stale_s=stale_s,
                allowed_networks=networks,
                eur_per_usd=env.decimal("BASTIDE_EUR_PER_USD"),
                files_bytes_max=env.number("BASTIDE_FILES_MB", 10_240, 1, 10_485_760) * 1024 * 1024,
            ),
            work=WorkSettings(
                concurrency=env.number("BASTIDE_WORKER_CONCURRENCY", 16, 1, 200),
                keep_days=env.number("BASTIDE_JOB_DAYS", 30, 1, 3650),
            ),
            knowledge=KnowledgeSettings(
                document_bytes_max=env.number("BASTIDE_DOCUMENT_MB", 100, 1, 4096) * 1024 * 1024,
                export_bytes_max=env.number("BASTIDE_EXPORT_MB", 1024, 1, 65_536) * 1024 * 1024,
                partition_chunks_min=env.number("BASTIDE_PARTITION_CHUNKS", 10_000, 1_000, 10_000_000),
                vision_pictures_max=env.number("BASTIDE_VISION_PICTURES", 48, 0, 10_000),
                vision_timeout_s=float(env.number("BASTIDE_VISION_TIMEOUT", 300, 1, 86_400)),
            ),
            server=server,
            api_key=env.text("BASTIDE_API_KEY"),
        )

    def serving(self, *, host: str, port: int) -> Settings:
        """The same settings with the doors elsewhere."""
        return replace(self, server=ServerSettings(host=host, port=port))


class _Environment:
    """The environment, read with the refusals that a person can act on."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def text(self, name: str) -> str | None:
        return self._values.get(name) or None

    def path(self, name: str) -> Path | None:
        value = self.text(name)
        return Path(value).expanduser() if value else None

    def paths(self, name: str) -> tuple[Path, ...]:
        parts = (self.text(name) or "").split(os.pathsep)
        return tuple(Path(part).expanduser() for part in parts if part.strip())

    def flag(self, name: str) -> bool:
        value = (self.text(name) or "").lower()
        if value not in {"", "0", "1", "no", "yes", "false", "true"}:
            raise BadSetting(f"{name} must be yes or no, not {value!r}.")
        return value in {"1", "yes", "true"}

    def number(self, name: str, default: int, low: int, high: int) -> int:
        value = self.text(name)
        if value is None:
            return default
        if not value.isdecimal() or not low <= int(value) <= high:
            raise BadSetting(f"{name} must be a whole number from {low} to {high}, not {value!r}.")
        return int(value)

    def decimal(self, name: str) -> float | None:
        value = self.text(name)
        if value is None:
            return None
        try:
            number = float(value)
        except ValueError:
            number = 0.0
        if not 0 < number < 1e6:
            raise BadSetting(f"{name} must be a number above 0, not {value!r}.")
        return number

    def networks(self, name: str) -> tuple[IPv4Network | IPv6Network, ...]:
        value = self.text(name) or ""
        try:
            return tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())
        except ValueError as fault:
            raise BadSetting(f"{name} must list networks such as 10.0.0.0/8: {fault}.") from fault

    def proxy(self) -> ProxySettings | None:
        """The proxy, from its address or the file that holds it."""
        address, file = self.text("BASTIDE_PROXY"), self.path("BASTIDE_PROXY_FILE")
        names, networks = self._direct("BASTIDE_NO_PROXY")
        if address is not None and file is not None:
            raise BadSetting("BASTIDE_PROXY and BASTIDE_PROXY_FILE both name a proxy: set one of the two.")
        if file is not None:
            try:
                address = file.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeError):
                raise BadSetting("BASTIDE_PROXY_FILE names no text file that can be read.") from None
        if address is None:
            return None
        return replace(_proxy_at(address), direct_names=names, direct_networks=networks)

    def _direct(self, name: str) -> tuple[tuple[str, ...], tuple[IPv4Network | IPv6Network, ...]]:
        """The names, and the networks, that are reached without a proxy."""
        names: list[str] = []
        networks: list[IPv4Network | IPv6Network] = []
        for part in (self.text(name) or "").lower().split(","):
            word = re.sub(r"^\*(?=\.)", "", part.strip()).rstrip(".")
            try:
                networks.append(ip_network(word))
            except ValueError as fault:
                if _HOST.fullmatch(word.removeprefix(".")) and not _NUMBERS.fullmatch(word):
                    names.append(word)
                elif part.strip():
                    said = (
                        f"{name} lists names, names below a domain as .example.org, and networks, not {part.strip()!r}."
                    )
                    raise BadSetting(said) from fault
        return tuple(names), tuple(networks)


def _proxy_at(address: str) -> ProxySettings:
    """The proxy at an address. What is refused is never repeated: it may hold a password, as may what parsers say."""
    try:
        parts = urlsplit(address)
        host, port, user, password = parts.hostname or "", parts.port, parts.username, parts.password
        ours = parts.scheme in {"http", "https", "socks5h"} and not (
            parts.path.strip("/") or parts.query or parts.fragment
        )
        named = bool(_HOST.fullmatch(host) or (":" in host and ip_network(host)))
    except ValueError:
        ours, named, host, port, user, password = False, False, "", None, None, None
    credentials = None if user is None else f"{unquote(user)}:{unquote(password or '')}"
    clear = address.isprintable() and " " not in address and (credentials or "").isprintable()
    if not (ours and clear and named and port) or ":" in unquote(user or ""):
        raise BadSetting(
            "BASTIDE_PROXY must be http://host:port or http://user:password@host:port, or one with https or socks5h.",
            next_step="Give the port, and write %40 for @, %3A for :, %2F for / in a password; then start again.",
        )
    socks = parts.scheme == "socks5h"
    if socks and credentials is not None and not all(0 < len(one.encode()) < 256 for one in credentials.split(":", 1)):
        raise BadSetting(
            "A name and a password for SOCKS, in BASTIDE_PROXY, have 1 to 255 bytes each.",
            next_step="Give both as socks5h://user:password@host:port, or neither; then start again.",
        )
    return ProxySettings(host.rstrip("."), port, parts.scheme == "https", socks, credentials)
