"""What a bundle's TOML may say: only sections that the local file allows, and nothing that names a path. Pure.

The overlay itself is laid over the local file elsewhere; the whole is then checked like any file.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from agent.config.bounds import OF_OVERLAY
from agent.config.overlay import SECTIONS
from agent.config.parse import tables
from agent.config.plain_text import hidden, hidden_in
from agent.config.problems import Place, Problems, did_you_mean, show
from agent.control.reasons import Code, Refusal
from agent.errors import ConfigurationInvalid

PLATFORM_KEYS = ("url", "ca")
"""Connection settings are tried as a candidate; ``ca`` is PEM text and no file."""
MOST_SHOWN = 5

SECRET_KEY = re.compile(
    r".*(pass(word|phrase|wd)?|secret|token|credential|api_?key|community|proxy)|pw|pin|psk|key|auth.*", re.IGNORECASE
)
"""Keys whose values are secrets; they may be sealed, and are never shown."""
_SEALABLE = re.compile(r"user(name)?|login", re.IGNORECASE)
_PATH_KEY = re.compile(r".*_(file|dir|path)|file|path|dir|certificate|private_key", re.IGNORECASE)
_PATH = re.compile(r"[/~\\]|[A-Za-z]:\\|\.\.?[/\\]|.*[/\\]\.\.([/\\]|$)|file:", re.IGNORECASE | re.DOTALL)
_PORT = re.compile(r"[A-Za-z0-9]*|/dev/(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._:/-]*")
"""A serial port is the one path that a connection needs. No URL: pyserial's ``spy://`` writes files."""


def read_content(config: str, allow: Collection[str], name: str = "bundle") -> dict[str, Any] | Refusal:
    """The overlay as plain TOML values, or why it is not taken. ``name``: what problems call it."""
    try:
        raw = tables(config, name, OF_OVERLAY)
    except ConfigurationInvalid as error:
        return refusal_of(error)
    beyond = [section for section in raw if section not in allow or section not in SECTIONS]
    if beyond:
        return _beyond(beyond, allow)
    if sign := hidden(config, "\n\r\t") or hidden_in(raw):
        return Refusal("invalid", f"{name} holds {sign}, which hides or turns what is read", "write plain text")
    problems = Problems()
    check_overlay(raw, name, problems)
    if problems:
        return refusal_of(ConfigurationInvalid(problems.lines, places=problems.places))
    return raw


def _beyond(sections: list[str], allow: Collection[str]) -> Refusal:
    section = sections[0]
    if section in SECTIONS:
        text = f"[{section}] is not within [remote] allow = [{', '.join(show(each) for each in allow)}]"
        remedy = "let the local engineer allow it, or leave it out"
        return Refusal("sections_not_allowed", text, remedy, places=(section,))
    text = f"[{section[:60]}] can be changed in the local file only"
    return Refusal("sections_not_allowed", text, did_you_mean(section, SECTIONS))


def check_overlay(raw: Mapping[str, Any], root: Place, problems: Problems) -> None:
    """Note whatever names a file or a variable of the gateway (L30), at any depth."""
    platform = raw.get("platform")
    for key in platform if isinstance(platform, Mapping) else ():
        if key not in PLATFORM_KEYS:
            message = "cannot be changed from outside"
            problems.add(((root, "platform"), key), message, did_you_mean(key, PLATFORM_KEYS))
    for section, value in raw.items():
        _walk(value, (root, section), problems, in_connection=False)


def _walk(value: Any, place: Place, problems: Problems, *, in_connection: bool) -> None:
    if isinstance(value, Mapping):
        _walk_table(value, place, problems, in_connection=in_connection)
    elif isinstance(value, list):
        for position, each in enumerate(value):
            _walk(each, (place, position), problems, in_connection=in_connection)
    elif in_connection and isinstance(value, str) and _names_path(value, place):
        problems.add(place, "names a path", "nothing from outside may; set it in the local file")


def _walk_table(table: Mapping[str, Any], place: Place, problems: Problems, *, in_connection: bool) -> None:
    for key, each in table.items():
        here = (place, key)
        if is_sealed(each):
            _check_sealed(key, each["jwe"], here, problems)
            continue
        if key in ("env", "file") and len(table) == 1:
            problems.add(here, "is a reference to this gateway", 'seal the secret: admin sign takes { secret = "…" }')
        elif _PATH_KEY.fullmatch(key) and each != "":
            problems.add(here, "names a path", "nothing from outside may; set it in the local file")
        else:
            _walk(each, here, problems, in_connection=in_connection or key == "connection")


def is_sealed(value: Any) -> bool:
    """Whether a value is a secret sealed for gateways: ``{ jwe = "…" }``."""
    return isinstance(value, Mapping) and value.keys() == {"jwe"}


def _check_sealed(key: str, value: Any, place: Place, problems: Problems) -> None:
    """One compact JWE for each gateway that the secret is for: a list, or a text with blanks between."""
    if not (SECRET_KEY.fullmatch(key) or _SEALABLE.fullmatch(key)) or _PATH_KEY.fullmatch(key):
        # Nobody could see what is in it: it might be the path that may not be written in the clear.
        problems.add(place, "is sealed, and no secret", "only user names, passwords and their like are sealed")
    sealed = value.split(" ") if isinstance(value, str) else value if isinstance(value, list) else []
    if not sealed or not all(isinstance(each, str) and each.isascii() and each.count(".") == 4 for each in sealed):
        problems.add((place, "jwe"), "is no sealed secret", "let gongfu-edge admin sign seal it")


def _names_path(value: str, place: Place) -> bool:
    if isinstance(place, tuple) and place[1] == "port":
        return not _PORT.fullmatch(value)
    return _PATH.match(value) is not None


def refusal_of(error: ConfigurationInvalid) -> Refusal:
    """``unresolvable`` where everything is well said and something that it names is not here, else ``invalid``."""
    shown = "; ".join(error.problems[:MOST_SHOWN])
    if len(error.problems) > MOST_SHOWN:
        shown += f"; and {len(error.problems) - MOST_SHOWN} more"
    code: Code = "unresolvable" if error.unresolved == error.problems else "invalid"
    return Refusal(code, shown, places=error.places)
