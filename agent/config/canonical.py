"""What a configuration means, as bytes: the same for two files that say the same in different ways.

Comments, layout, the order of tables and where a tag is written (inline, table, template) leave no
trace. Secrets enter as a hash of their own, so that the form may be kept or compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import msgspec

from agent.config.model import Device, DigestSection, FileSection, Secret, Tag
from drivers.contract import Point

VERSION = 1


def configuration_hash(file: FileSection, devices: Sequence[Device]) -> str:
    """SHA-256 of the canonical form, as 64 lower-case hex digits."""
    return sha256(canonical(file, devices)).hexdigest()


def canonical(file: FileSection, devices: Sequence[Device]) -> bytes:
    """The canonical form: JSON with sorted keys."""
    plain = _plain(file)
    plain["digest"]["share"] = sorted(set(file.digest.share))
    if not plain["digest"]["never_share"]:
        del plain["digest"]["never_share"]  # so that it has left no trace in the hashes of files without it
    rollups = sorted(set(plain["digest"].pop("rollups")))
    if rollups != sorted(DigestSection().rollups):  # else the same as before there was such a key
        plain["digest"]["rollups"] = rollups
    plain["remote"]["trust_file"] = str(file.remote.trust_path)
    plain["remote"]["allow"] = sorted(set(file.remote.allow))
    plain["device"] = [_device(each) for each in sorted(devices, key=lambda each: each.name)]
    plain["equipment"].sort(key=lambda each: each["name"])
    plain["audience"].sort(key=lambda each: each["name"])
    for audience in plain["audience"]:
        audience |= {key: sorted(set(audience[key])) for key in ("sections", "equipment", "tags")}
    if not plain["audience"]:
        del plain["audience"]  # so that it has left no trace in the hashes of files without it
    for name in ("indicators", "findings"):
        del plain["digest"][f"{name}_file"]  # its table stands in the configuration
        if plain["digest"][name] is None:
            del plain["digest"][name]
    for equipment in plain["equipment"]:
        _drop_later(equipment)
    return msgspec.json.encode({"version": VERSION, **plain}, order="deterministic")


def device_form(device: Device) -> bytes:
    """The canonical form of one device: the same bytes, the same device."""
    return msgspec.json.encode(_device(device), order="deterministic")


def _device(device: Device) -> dict[str, Any]:
    options = msgspec.json.encode(_plain(device.options, revealed=True), order="deterministic")
    return {
        "name": device.name,
        "driver": device.driver,
        "interval": device.interval,
        # Any option may come from a secret, so none is shown: not even which of them do.
        "options": sha256(options).hexdigest(),
        "tags": [_tag(tag) for tag in sorted(device.tags, key=lambda tag: tag.series)],
        **({} if device.enabled else {"enabled": False}),
    }


def _drop_later(equipment: dict[str, Any]) -> None:
    # Keys that came later: a configuration that does not use them keeps the hash that it had.
    for key, unused in (("sub_meters", []), ("sub_meters_complete", False), ("metering_only", False)):
        if equipment[key] == unused:
            del equipment[key]
    if equipment["calendar"] is not None:
        del equipment["calendar"]["holidays_file"]  # its days stand in the lists


def _tag(tag: Tag) -> tuple[Any, ...]:
    point = tag.point
    return (
        tag.series,
        point.address,
        point.type,
        point.element,
        point.order,
        point.length,
        point.scale,
        point.offset,
        sorted(map(_number, point.invalid)) if point.invalid else (),
        point.interval,
        point.deadband,
        tag.unit,
        tag.kind,
        tag.rollover,
        tag.sensitivity,
        # Keys that came later: a tag that does not use them keeps what it had.
        *((point.scale_register, point.factors, point.block) if _later(point) else ()),
    )


def _later(point: Point) -> bool:
    return bool(point.scale_register or point.factors or point.block)


def _number(value: float) -> str:
    """As text, for JSON has no NaN; 7.0 and 7 are one number."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _plain(value: Any, *, revealed: bool = False) -> Any:
    """Structs as dicts, tuples as lists, secrets as hashes unless ``revealed`` (to be hashed as a whole)."""
    if isinstance(value, Secret) and not revealed:
        return {"sha256": sha256(value.plain.encode()).hexdigest()}
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, float):
        return float(value) if value == value and abs(value) != float("inf") else repr(float(value))
    if isinstance(value, int):
        return int(value)
    if isinstance(value, msgspec.Struct):
        return {
            field: _plain(getattr(value, field), revealed=revealed)
            for field in value.__struct_fields__
            if not (isinstance(value, FileSection) and field == "device")
        }
    if isinstance(value, dict):
        return {str(key): _plain(each, revealed=revealed) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each, revealed=revealed) for each in value]
    if isinstance(value, set | frozenset):
        return sorted((_plain(each, revealed=revealed) for each in value), key=repr)
    return repr(value)
