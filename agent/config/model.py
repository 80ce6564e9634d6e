"""The configuration as the agent uses it.

The ``*Section`` structs are the schema of ``config.toml``, key for key. :class:`Configuration` is
what parsing makes of it: every tag expanded to points, every option checked by its driver.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from agent.config.digest_tables import FindingTable, IndicatorTable
from drivers.contract import DriverType, Point


class Seconds(float):
    """A duration; written as ``"250ms"``, ``"1s"``, ``"15m"``, ``"8h"`` or ``"30d"``."""


class ByteSize(int):
    """A size in bytes; written as ``"500kB"``, ``"200MB"`` or ``"2GB"`` (powers of ten)."""


class Secret(str):
    """Text that must not appear in a log, a status or an export: however it is printed, it is hidden."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret('…')"

    def __str__(self) -> str:
        return "…" if self else ""

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    @property
    def plain(self) -> str:
        """The text itself, for the one place that needs it."""
        return str.__str__(self)


class _Section(msgspec.Struct, frozen=True, kw_only=True):
    """A table of the configuration file."""


class GatewaySection(_Section, frozen=True):
    name: str
    timezone: str = "Asia/Shanghai"
    data_dir: str = "/var/lib/gongfu-edge"


class Chain(_Section, frozen=True):
    """An industrial chain that the enterprise belongs to."""

    name: str
    owner: str = ""
    """Unified social credit code of the chain owner."""
    role: str = ""


class KeyProcess(_Section, frozen=True):
    """A key process: how many machines it has, and how many of them are numerically controlled."""

    machines: int
    nc: int = 0


class Inventory(_Section, frozen=True):
    """Declared numbers of equipment."""

    production_equipment: int
    digital: int = 0
    key_processes: tuple[KeyProcess, ...] = ()


class EnterpriseSection(_Section, frozen=True):
    name: str = ""
    credit_code: str = ""
    above_designated_size: bool | None = None
    industry: str = ""
    """GB/T 4754 code."""
    district: str = ""
    town: str = ""
    park: str = ""
    chains: tuple[Chain, ...] = ()
    operator: Literal["", "CT", "CM", "CU"] = ""
    uplink: Literal["", "5g", "4g", "wired"] = ""
    service_provider: str = ""
    diagnosis_id: str = ""
    inventory: Inventory | None = None
    enterprise_authorised: bool = False


class PlatformSection(_Section, frozen=True):
    url: str
    ca_file: str = ""
    """Certificates to trust instead of the bundled ones; empty: the bundled ones."""
    ca: str = ""
    """The same as PEM text, before ``ca_file``; what comes from outside cannot name a file."""
    proxy: Secret = Secret("")
    max_bytes_per_day: ByteSize = ByteSize(50_000_000)


Section = Literal["affiliation", "coverage", "tags", "equipment", "indicators", "findings", "prescriptions", "ledger"]
DIGEST_SECTIONS: tuple[str, ...] = get_args(Section)
"""What of a digest can be granted to an audience; its header always goes with it."""
OWN_PLATFORM = "platform"
"""``url`` of an audience that is reached through ``[platform]``."""
ALL_EQUIPMENT = "*"


class AudienceSection(_Section, frozen=True):
    """Who else gets digests, and what of them: nothing that is not named here."""

    name: str
    url: str
    """Of a platform of its own, or ``"platform"``."""
    sections: tuple[Section, ...] = ()
    equipment: tuple[str, ...] = ()
    """Names of machines; ``"*"``: all, also those that are added later."""
    tags: tuple[str, ...] = ()
    """Full names, among those in ``[digest] share``."""
    ca_file: str = ""
    proxy: Secret = Secret("")
    max_bytes_per_day: ByteSize = ByteSize(50_000_000)


TRUST_FILE = "/etc/gongfu-edge/admins.jwks"


class RemoteSection(_Section, frozen=True):
    allow: tuple[Literal["device", "equipment", "digest", "platform"], ...] = ()
    probation: Seconds = Seconds(60)
    trust_file: str = ""
    """JWKS of administrators; empty: :data:`TRUST_FILE` where it is there, else what was accepted at enrolment."""
    prescriptions: bool | None = None
    """Whether the platform is asked for prescriptions; None: where any administrator is trusted."""

    @property
    def trust_path(self) -> Path:
        """Where the administrators' list is."""
        return Path(self.trust_file or TRUST_FILE)


class BufferSection(_Section, frozen=True):
    max_size: ByteSize = ByteSize(2_000_000_000)
    retention: Seconds = Seconds(30 * 86400)
    flush: Seconds = Seconds(5)


class DigestSection(_Section, frozen=True):
    period: Seconds = Seconds(900)
    share: tuple[str, ...] = ()
    """Full names of the tags whose aggregates may leave the plant."""
    never_share: tuple[str, ...] = ()
    """Patterns of full names, ``*.recipe*``: such a tag counts as one of sensitivity 3, whoever says what."""
    rollups: tuple[Literal["shift", "day", "week", "month"], ...] = ("shift", "day", "week", "month")
    """Of which there are digests besides those of periods."""
    indicators: IndicatorTable | None = None
    """Instead of the agent's own table."""
    indicators_file: str = ""
    """The same in a file beside the configuration; empty once it has been read, see :mod:`.replaced`."""
    findings: FindingTable | None = None
    """Instead of the agent's own table."""
    findings_file: str = ""


class ConsoleSection(_Section, frozen=True):
    listen: str = "127.0.0.1:8470"
    """``host:port``; empty: no local API."""


TagKind = Literal["gauge", "counter", "state", "text"]


class TagSection(_Section, frozen=True):
    name: str
    address: str
    type: str = ""
    order: str = "ABCD"
    scale: float = 1.0
    offset: float = 0.0
    unit: str = ""
    invalid: tuple[float | str, ...] = ()
    """Raw values that mean 'no value': numbers, or ``"nan"``."""
    deadband: float = 0.0
    interval: Seconds | None = None
    kind: TagKind | None = None
    """Default: ``text`` for strings, ``state`` for bool, else ``gauge``."""
    rollover: float | None = None
    length: int = 0
    count: int = 1
    scale_register: str = ""
    """Address of a power of ten that is read with the value, in one request."""
    scale_tag: str = ""
    """The same, as the name of a tag of the same device."""
    ratio: Literal["", "ct", "vt", "ct*vt"] = ""
    """Which ratios of transformers the value is to be multiplied by: those of the device."""
    block: str = ""
    """``holding:40327+10``: what has to be read as a whole for the value to be right."""
    sensitivity: Literal[1, 2, 3] = 1


class DeviceSection(_Section, frozen=True):
    name: str
    driver: str
    enabled: bool = True
    """False: known, but neither connected nor counted."""
    interval: Seconds = Seconds(1)
    connection: dict[str, Any] = {}
    tags_file: str = ""
    template: str = ""
    type: str | None = None
    """Of tags that do not say; ``order`` and ``invalid`` likewise."""
    order: str | None = None
    invalid: tuple[float | str, ...] | None = None
    ct_ratio: float | str | None = None
    """Of the current transformer before a meter: a number, or the register that has it; see :mod:`.ratios`."""
    vt_ratio: float | str | None = None
    tag: tuple[TagSection, ...] = ()


class StateSection(_Section, frozen=True):
    """Where an equipment's state comes from."""

    tag: str = ""
    map: dict[str, str] = {}
    preset: Literal["", "packml", "machinery"] = ""
    bits: dict[str, str] = {}
    """State → tag that is not 0 in this state, for machines without a state word."""
    power: str = ""
    """Tag with the machine's power, for machines without either."""
    executing_above: float = 0.0
    """kW."""
    standby_above: float = 0.0
    """kW."""
    hysteresis: float = 0.1
    """Share by which power must fall below a limit before the state changes back."""


class CalendarSection(_Section, frozen=True):
    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = ()
    shifts: tuple[str, ...] = ()
    breaks: tuple[str, ...] = ()
    holidays: tuple[str, ...] = ()
    """Dates without shifts, ``"2026-10-01"``; or ranges of dates, ``"2026-10-01..2026-10-07"``."""
    working_days: tuple[str, ...] = ()
    """Dates with shifts whatever day of the week it is."""
    holidays_file: str = ""
    """A file of both, beside the configuration; empty once it has been read, see :mod:`.holidays`."""


class EquipmentSection(_Section, frozen=True):
    name: str
    key_process: bool = False
    state: StateSection | None = None
    produced: str = ""
    produced_by_state: Literal["", "executing", "standby", "setup"] = ""
    """One piece each time the machine leaves this state, where no tag counts them."""
    good: str = ""
    scrap: str = ""
    rework: str = ""
    ideal_cycle: Seconds | None = None
    micro_stop: Seconds = Seconds(300)
    """A stop shorter than this is a micro-stop."""
    power: str = ""
    energy: str = ""
    sub_meters: tuple[str, ...] = ()
    """Names of the equipment that this one's meter feeds, each with a meter of its own."""
    sub_meters_complete: bool = False
    """Whether there is no other load behind this meter."""
    metering_only: bool = False
    """A meter, and no machine to be counted among the machines."""
    contract_kw: float | None = None
    """Power that the contract with the grid allows."""
    calendar: CalendarSection | None = None


class FileSection(_Section, frozen=True):
    """The whole of ``config.toml``."""

    gateway: GatewaySection
    enterprise: EnterpriseSection = EnterpriseSection()
    platform: PlatformSection | None = None
    remote: RemoteSection = RemoteSection()
    buffer: BufferSection = BufferSection()
    digest: DigestSection = DigestSection()
    console: ConsoleSection = ConsoleSection()
    device: tuple[DeviceSection, ...] = ()
    equipment: tuple[EquipmentSection, ...] = ()
    audience: tuple[AudienceSection, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """A point as the agent sees it: which series it feeds and how it is summarised."""

    series: str
    """Full name, ``press-1.oil_temp`` or ``press-1.zone[3]``; unique in the gateway."""
    point: Point
    unit: str
    kind: TagKind
    rollover: float | None
    """Engineering value at which a counter starts again from 0; None: guessed or none."""
    sensitivity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device ready to be driven. ``tags[i].point.index == i``."""

    name: str
    driver: str
    interval: float
    """Default seconds between reads; each point has its own."""
    type: DriverType
    options: Any
    """The driver's options struct, made from ``connection``."""
    tags: tuple[Tag, ...]
    enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """A valid configuration, in force as a whole.

    ``hash`` is the SHA-256 (hex) of its canonical form: two files that mean the same have the same.
    """

    file: FileSection
    path: Path
    devices: tuple[Device, ...]
    hash: str
    warnings: tuple[str, ...] = ()
    """What is valid and probably not meant, one line each."""
