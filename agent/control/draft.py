"""What an administrator wrote, before it is signed: checked as the gateway will check it, secrets sealed.

In a draft a secret stands as ``{ secret = "…" }``, where the text may itself come from the
administrator's machine: ``{ secret = { file = "cnc-1.pw" } }`` or ``{ secret = { env = "NAME" } }``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.config.difference import difference
from agent.config.overlay import SECTIONS, Overlay, origins
from agent.config.parse import check_overlay, loads, read_text, tables
from agent.config.problems import Place, Problems, show
from agent.config.references import Resolver
from agent.config.replaced import TYPES, read_values
from agent.control.content import read_content
from agent.control.reasons import Refusal
from agent.control.redact import redacted
from agent.control.secrets import seal
from agent.control.toml import write_toml
from agent.errors import ConfigurationInvalid

SEALED_BEFORE = "sealed-before"
"""Stands, while a draft is checked, for a secret that only its gateway can open."""

_IN_CLEAR = re.compile(
    r".*(pass(word|phrase|wd)?|secret|token|credential|api_?key|community)|pw|pin|psk", re.IGNORECASE
)

Leaf = Callable[[Any, Place], Any]


@dataclass(frozen=True, slots=True)
class Draft:
    """A sound overlay. ``text``: its TOML with sealed secrets; ``open``: with marks in their place."""

    name: str
    text: str
    open: Overlay
    secrets: int
    """How many secrets were sealed."""


def read_draft(path: Path, recipients: Sequence[Mapping[str, Any]] = ()) -> Draft:
    """Read, check and seal a draft. ``recipients``: public keys of the gateways that need its secrets.

    Raises ConfigurationInvalid with every problem. Tags of the local file are not known here; see :func:`against`.
    """
    text = read_text(path)
    problems = Problems()
    plain: dict[str, str] = {}
    resolver = Resolver(os.environ, path.parent)

    def mark(value: Any, place: Place) -> Any:
        if isinstance(value, str) and value and isinstance(place, tuple) and _IN_CLEAR.fullmatch(str(place[1])):
            problems.add(place, "is a secret in the clear, for everybody to read", 'write { secret = "…" } to seal it')
        if not (isinstance(value, Mapping) and value.keys() == {"secret"}):
            return value
        secret = value["secret"]
        if isinstance(secret, Mapping):
            secret = resolver.resolve(secret, place, problems)
        elif not isinstance(secret, str):
            problems.add(place, f"a secret must be text, not {show(secret)}")
        mark = f"secret{len(plain)}...."  # in the form of a compact JWE
        plain[mark] = secret if isinstance(secret, str) else ""
        return {"jwe": mark}

    raw = tables(text, path.name)
    brought = _with_tables(raw, path, problems)
    marked = _mapped(raw, path.name, mark)
    if problems:
        raise ConfigurationInvalid(problems.lines, places=problems.places)
    overlay = Overlay(write_toml(marked), path.name, lambda jwe: plain.get(jwe, SEALED_BEFORE))
    _check(overlay)
    if not plain:
        return Draft(path.name, overlay.text if brought else text, overlay, 0)

    def close(value: Any, place: Place) -> Any:
        if not (isinstance(value, Mapping) and value.keys() == {"jwe"} and value["jwe"] in plain):
            return value
        try:
            return {"jwe": seal(plain[value["jwe"]], recipients)}
        except ValueError as error:
            problems.add(place, f"this secret {error}", "--recipient names a file with the gateways' keys")
            return value

    sealed = _mapped(marked, path.name, close)
    if problems:
        raise ConfigurationInvalid(problems.lines, places=problems.places)
    return Draft(path.name, write_toml(sealed), overlay, len(plain))


def _with_tables(raw: dict[str, Any], path: Path, problems: Problems) -> bool:
    """Put tables of indicators and findings that a draft names as files in their place; whether there were any.

    What is signed holds them whole: it cannot name a file of a gateway.
    """
    digest = raw.get("digest")
    found = False
    if not isinstance(digest, dict):
        return False
    for name in TYPES:
        source = digest.pop(f"{name}_file", "")
        if isinstance(source, str) and source:
            place = ((path.name, "digest"), f"{name}_file")
            digest[name] = read_values(path.parent / source, source, place, problems)
            found = True
        elif source:
            digest[f"{name}_file"] = source  # no text: refused by its own check
    return found


def of_bundle(config: str, name: str) -> Overlay:
    """The overlay of a bundle that is signed already."""
    return Overlay(config, name, lambda _jwe: SEALED_BEFORE)


def _check(overlay: Overlay) -> None:
    found = read_content(overlay.text, SECTIONS, overlay.name)
    if isinstance(found, Refusal):
        raise ConfigurationInvalid((found.line(),))
    # Connection settings are no part of the overlay proper: the gateway tries them apart.
    rest = {section: value for section, value in found.items() if section != "platform"}
    check_overlay(Overlay(write_toml(rest), overlay.name, overlay.decrypt))
    if "platform" in found:
        _check_candidate(found["platform"], overlay.name)


def _check_candidate(platform: Any, name: str) -> None:
    """The url as the local file's own check sees it; a certificate is at least PEM."""
    table = platform if isinstance(platform, Mapping) else {}
    ca = table.get("ca", "")
    if not isinstance(ca, str) or (ca and "-----BEGIN CERTIFICATE-----" not in ca):
        raise ConfigurationInvalid((f"{name}: platform.ca: is no PEM certificate; paste the CA's PEM text",))
    rest = {key: value for key, value in table.items() if key != "ca"} if table else platform
    loads(write_toml({"gateway": {"name": "gateway"}, "platform": rest}), Path(name), {})


def against(local: Path, old: Overlay | None, new: Overlay) -> list[str]:
    """What ``new`` changes of a gateway's effective configuration, one line each; secrets are not shown.

    ``local``: a copy of the gateway's own file (its table files beside it); what that takes from files or
    variables of the gateway is not needed. ``old``: the overlay in force. Raises ConfigurationInvalid when
    the merged whole is not sound.
    """
    raw = _mapped(tables(read_text(local), local.name), local.name, _without_references)
    text = write_toml(raw)
    loads(text, local, {})  # its own problems, under its own name
    before = loads(text, local, {}, _overlay_proper(old) if old else None)
    found = read_content(new.text, before.file.remote.allow, new.name)
    if isinstance(found, Refusal):
        raise ConfigurationInvalid((f"{new.name}: {found.line()}",))
    after = loads(text, local, {}, _overlay_proper(new))
    lines = difference(before, after).lines()
    values = [_values(raw, overlay) for overlay in (old, new)]
    return lines + [f"  {line}" for line in _changes(*values)]


def _overlay_proper(overlay: Overlay) -> Overlay:
    raw = tables(overlay.text, overlay.name)
    rest = {section: value for section, value in raw.items() if section != "platform"}
    return Overlay(write_toml(rest), overlay.name, overlay.decrypt)


def _values(local: Mapping[str, Any], overlay: Overlay | None) -> dict[str, str]:
    over = tables(overlay.text, overlay.name) if overlay else {}
    shown = redacted(local), redacted(over)
    return {path: _shown(value) for path, value, _ in origins(*shown, "")}


def _changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    lines = [f"- {path} = {value}" for path, value in before.items() if path not in after]
    for path, value in after.items():
        if path not in before:
            lines.append(f"+ {path} = {value}")
        elif before[path] != value:
            lines.append(f"~ {path} = {before[path]} → {value}")
    return lines


def _shown(value: Any) -> str:
    text = write_toml({"x": value}).strip().removeprefix("x = ")
    return text if len(text) <= 100 else text[:99] + "…"


def _without_references(value: Any, _place: Place) -> Any:
    is_reference = isinstance(value, Mapping) and len(value) == 1 and value.keys() <= {"env", "file"}
    return SEALED_BEFORE if is_reference else value


def _mapped(value: Any, place: Place, leaf: Leaf) -> Any:
    """``value`` with ``leaf`` applied from the outside in; what it replaces is not looked into."""
    changed = leaf(value, place)
    if changed is not value:
        return changed
    if isinstance(value, Mapping):
        return {key: _mapped(each, (place, key), leaf) for key, each in value.items()}
    if isinstance(value, list):
        return [_mapped(each, (place, at), leaf) for at, each in enumerate(value)]
    return value
