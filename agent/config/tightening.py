"""What comes from outside can only tighten who is told what: the local file's limits follow the data. Pure.

The data of a local tag keeps the local file's sensitivity under whatever name, type or scale, and from whatever device
table, something from outside reads it. What cannot be shown to be other data counts as the same.
"""

from __future__ import annotations

import ipaddress
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from agent.config.model import Configuration, Device, FileSection, Tag
from agent.config.problems import Place, Problems, show
from agent.config.tag_warnings import explanations
from drivers.contract import Explanation

SECRET = 3
"""The sensitivity of what never leaves the plant."""


def never_shared(name: str, patterns: Iterable[str]) -> bool:
    """Whether a tag's full name fits ``[digest] never_share``; neither case nor the width of letters matters."""
    folded = _folded(name)
    return any(fnmatchcase(folded, _folded(each)) for each in patterns)


def keep_secret(devices: Iterable[Device], patterns: Sequence[str]) -> list[Device]:
    """The devices with the highest sensitivity for each tag that fits one of the patterns."""
    if not patterns:
        return list(devices)
    return [
        _raised(each, [SECRET if never_shared(tag.series, patterns) else 1 for tag in each.tags]) for each in devices
    ]


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


class _Read(NamedTuple):
    """A local tag, and how its address is read."""

    tag: Tag
    how: Explanation

    @property
    def limit(self) -> int:
        """Text never leaves, and what was text does not as a number."""
        return SECRET if self.tag.kind == "text" else self.tag.sensitivity


@dataclass(frozen=True, slots=True)
class Tightened:
    """``devices``: those of an overlay with the limits of the local file; ``same``: full name of each of their tags →
    the local tags whose data it may be."""

    devices: list[Device]
    same: Mapping[str, Sequence[Tag]]


def tighten(local: Configuration, devices: Iterable[Device], outside: frozenset[str]) -> Tightened:
    """``devices``: of the whole; ``outside``: names of those that an overlay defines."""
    known = [(each, _reads(each)) for each in local.devices]
    by_name = {read.tag.series.partition("[")[0]: read.limit for _, reads in known for read in reads}
    for _, reads in known:
        for read in reads:
            base = read.tag.series.partition("[")[0]
            by_name[base] = max(by_name[base], read.limit)
    made, same = [], {}
    for device in devices:
        if device.name not in outside:
            made.append(device)
            continue
        near = [(each, _Areas(reads)) for each, reads in known if _may_be(device, each)]
        limits = []
        for read in _reads(device):
            found = _same(device, read, near)
            same[read.tag.series] = [each.tag for each in found]
            named = by_name.get(read.tag.series.partition("[")[0], 1)
            limits.append(max([named, *(each.limit for each in found)]))
        made.append(_raised(device, limits))
    return Tightened(made, same)


def _reads(device: Device) -> list[_Read]:
    explained = explanations(device.type, device.options, device.tags)
    if not explained:  # a driver that does not explain: equal texts are one place
        texts = [_folded(tag.point.address.strip()) for tag in device.tags]
        explained = [Explanation(text, text, area=text) for text in texts]
    return [_Read(tag, how) for tag, how in zip(device.tags, explained, strict=True)]


class _Areas:
    """A device's tags by the area in which they lie."""

    def __init__(self, reads: Sequence[_Read]) -> None:
        self.reads = reads
        self.anywhere = [each for each in reads if each.how.area is None]
        self.by_area: dict[Any, list[_Read]] = {}
        for each in reads:
            self.by_area.setdefault(each.how.area, []).append(each)

    def crossing(self, how: Explanation) -> list[_Read]:
        """The tags whose data a point that is read so may be."""
        if how.area is None:
            return list(self.reads)
        return [*self.anywhere, *(each for each in self.by_area.get(how.area, ()) if _cross(each.how.span, how.span))]


def _same(device: Device, read: _Read, near: Sequence[tuple[Device, _Areas]]) -> list[_Read]:
    found = [(each, other) for each, areas in near for other in areas.crossing(read.how)]
    # What the local file reads in just this way says what it is: it need not be anything else.
    alike = [(each, other) for each, other in found if other.how.place == read.how.place]
    very = [other for each, other in alike if each.options == device.options]
    return very or [other for _, other in alike or found]


def _cross(one: tuple[int, int] | None, other: tuple[int, int] | None) -> bool:
    return one is None or other is None or (one[0] < other[1] and other[0] < one[1])


def _may_be(one: Device, other: Device) -> bool:
    """Whether two devices may be one, whatever they are called."""
    if one.driver != other.driver:
        return False
    if one.options == other.options:
        return True
    transports = [str(getattr(each.options, "transport", "tcp")) for each in (one, other)]
    serial = [each in ("rtu", "ascii") for each in transports]
    units = {getattr(each.options, "unit", None) for each in (one, other)}
    if serial[0] != serial[1]:
        return False
    if len(units) > 1 and not {*transports} & {"tcp", "udp", "tls"}:  # on a network many devices heed no unit id
        return False
    hosts = [_host(each.options) for each in (one, other)]
    return None in hosts or hosts[0] == hosts[1]


def _host(options: Any) -> str | None:
    """The one address that a connection leads to; None where a name, or nothing, says so."""
    url = getattr(options, "url", "")
    try:
        text = urlsplit(url).hostname if isinstance(url, str) and url else getattr(options, "host", "")
        address = ipaddress.ip_address(text or "")
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    return "here" if address.is_loopback or address.is_unspecified else str(address)


def _raised(device: Device, limits: Sequence[int]) -> Device:
    if all(tag.sensitivity >= limit for tag, limit in zip(device.tags, limits, strict=True)):
        return device
    tags = (
        tag if tag.sensitivity >= limit else replace(tag, sensitivity=limit)
        for tag, limit in zip(device.tags, limits, strict=True)
    )
    return replace(device, tags=tuple(tags))


def check_grants(
    local: Configuration, file: FileSection, over: Mapping[str, Any], same: Mapping[str, Sequence[Tag]],
    root: Place, problems: Problems,
) -> None:  # fmt: skip
    """Note what would tell somebody of data under a name that was granted for other data."""
    shared, granted = local.file.digest.share, file.digest.share
    if "digest" not in local.file.remote.allow:
        for position, name in enumerate(granted):
            other = _other(name, same, shared)
            if other:
                message = f"{show(name)} is read where {show(other)} is, which the local file does not share"
                problems.add((((root, "digest"), "share"), position), message, "give it another address or name")
    for at, audience in enumerate(file.audience):
        place = ((root, "audience"), at)
        for position, name in enumerate(audience.tags):
            other = _other(name, same, audience.tags)
            if other:
                message = f"{show(name)} is read where {show(other)} is, which is not granted"
                problems.add(((place, "tags"), position), message, "give it another address or name")
        _check_machines(local.file, file, over, same, frozenset(audience.equipment), (place, "equipment"), problems)


def _other(name: str, same: Mapping[str, Sequence[Tag]], granted: Sequence[str]) -> str:
    """A tag that is not granted and whose data a granted name would tell of; empty where there is none."""
    for series, tags in same.items():
        if series != name and series.partition("[")[0] != name:
            continue
        if tags and not any(_is_among(each.series, granted) for each in tags):
            return tags[0].series
    return ""


def _is_among(series: str, names: Sequence[str]) -> bool:
    return series in names or series.partition("[")[0] in names


def _check_machines(
    local: FileSection, file: FileSection, over: Mapping[str, Any], same: Mapping[str, Sequence[Tag]],
    granted: frozenset[str], place: Place, problems: Problems,
) -> None:  # fmt: skip
    if not granted or "*" in granted or not over.keys() & {"device", "equipment"}:
        return
    users: dict[str, set[str]] = {}
    for machine in local.equipment:
        for series in inputs_of(machine):
            users.setdefault(series, set()).add(machine.name)
    for machine in file.equipment:
        if machine.name not in granted:
            continue
        for series in sorted(inputs_of(machine)):
            sources = {series, *(each.series for each in same.get(series, ()))}
            owners = set[str]().union(*(users.get(each, set()) for each in sources))
            if owners and not owners & granted:
                message = f"{show(machine.name)} would be measured by {show(series)}, which is of {show(min(owners))}"
                problems.add(place, message, "measure it by tags of its own")


def inputs_of(machine: Any) -> set[str]:
    """Full names of the tags that a machine is measured by."""
    names = {getattr(machine, key) for key in ("produced", "good", "scrap", "rework", "power", "energy")}
    if machine.state is not None:
        names |= {machine.state.tag, machine.state.power, *machine.state.bits.values()}
    return names - {""}
