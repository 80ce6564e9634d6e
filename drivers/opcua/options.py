"""Options of an OPC UA device, and what can be wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from drivers.contract import Problem
from drivers.durations import seconds

DEFAULT_PORT = 4840
POLICIES = ("Aes256_Sha256_RsaPss", "Aes128_Sha256_RsaOaep", "Basic256Sha256")
"""Security policies that are sound today, strongest first."""
BROKEN_POLICIES = ("Basic128Rsa15", "Basic256")
"""What the OPC Foundation has withdrawn: SHA-1, and PKCS#1 v1.5."""
MODES = ("SignAndEncrypt", "Sign")
"""Security modes, strongest first."""

_SECURITY_REMEDY = 'write "auto", "none", or a policy such as "Basic256Sha256" or "Basic256Sha256:Sign"'


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A device's ``connection`` table. Durations are seconds or text such as ``"250ms"``."""

    url: str
    """``opc.tcp://host:port/path``; the port is 4840 unless it is given."""
    mode: Literal["subscribe", "poll", "auto"] = "subscribe"
    """``auto``: subscribe, and poll where the server refuses."""
    security: str = "auto"
    """``auto``: the strongest that the server offers, never nothing; ``none``; or a policy by its
    name, with ``:Sign`` or ``:SignAndEncrypt`` behind it where the strongest mode is not meant."""
    username: str = ""
    password: str = ""
    certificate: str = ""
    """The user's certificate (a PEM or DER file), instead of a user name."""
    private_key: str = ""
    """The key of that certificate (a PEM or DER file)."""
    plaintext_password: bool = False
    """A password may be sent readable, to whoever answers: for devices that cannot encrypt it."""
    timeout: float | str = 4.0
    publishing_interval: float | str = 0.0
    """Pause between the server's notifications; 0: the shortest interval of a tag."""

    def __repr__(self) -> str:
        return f"Options({self.endpoint!r}, security={self.security!r})"  # never the password

    @property
    def timeout_s(self) -> float:
        """Seconds to wait for an answer, or for a connection."""
        return seconds(self.timeout)

    @property
    def publishing_interval_s(self) -> float:
        """Seconds between notifications; 0: the shortest interval of a tag."""
        return seconds(self.publishing_interval)

    @property
    def host(self) -> str:
        """Host name or address, without brackets."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """Port number."""
        return urlsplit(self.url).port or DEFAULT_PORT

    @property
    def place(self) -> str:
        """``host:port``, for messages and pins."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def endpoint(self) -> str:
        """The url with its port."""
        return urlsplit(self.url)._replace(netloc=self.place).geturl()

    @property
    def wanted(self) -> Security:
        """What ``security`` asks for; raises ValueError."""
        return Security.parse(self.security)


@dataclass(frozen=True, slots=True)
class Security:
    """The security policies and modes that may be used, the preferred first; none at all: ``none``."""

    policies: tuple[str, ...]
    modes: tuple[str, ...]

    @property
    def none(self) -> bool:
        """Whether messages travel unsigned and readable."""
        return not self.policies

    @classmethod
    def parse(cls, text: str) -> Security:
        """``auto``, ``none``, ``Policy`` or ``Policy:Mode``; raises ValueError with (message, remedy)."""
        if text == "none":
            return cls((), ())
        if text == "auto":
            return cls(POLICIES, MODES)
        policy, colon, mode = text.partition(":")
        if policy in BROKEN_POLICIES:
            raise ValueError(f"{policy} is broken and withdrawn", 'write "auto", and switch on a newer policy there')
        if policy not in POLICIES:
            raise ValueError(f'"{text}" is no security policy', _near(policy, ("auto", "none", *POLICIES)))
        if colon and mode not in MODES:
            raise ValueError(f'"{mode}" is no security mode', f'write "{policy}:SignAndEncrypt" or "{policy}:Sign"')
        return cls((policy,), (mode,) if colon else MODES)


def _near(word: str, known: tuple[str, ...]) -> str:
    folded = {"".join(each.split("_")).casefold(): each for each in known}
    found = get_close_matches("".join(word.split("_")).casefold(), folded, 1, 0.7)
    return f'did you mean "{folded[found[0]]}"?' if found else _SECURITY_REMEDY


def check_options(options: Options) -> list[Problem]:
    """Everything wrong with a ``connection`` table."""
    return [
        *_check_url(options.url),
        *_check_security(options),
        *_check_user(options),
        *_check_durations(options),
    ]


def _check_url(url: str) -> Iterator[Problem]:
    remedy = 'write it as url = "opc.tcp://192.168.1.20:4840"'
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and url.isprintable() and " " not in url and parts.port != 0
    except ValueError:
        yield Problem("connection.url", f'"{url}" is no address of a server', remedy)
        return
    if "@" in parts.netloc:
        # Not shown: what stands before the @ may be a password.
        yield Problem("connection.url", "holds a user name", "write username and password as keys of their own")
    elif parts.scheme in ("opc.https", "https", "http", "opc.wss"):
        yield Problem("connection.url", f"{parts.scheme} is not supported", "use the server's opc.tcp address")
    elif parts.scheme != "opc.tcp" or not usable:
        yield Problem("connection.url", f'"{url}" is no address of a server', remedy)


def _check_security(options: Options) -> Iterator[Problem]:
    try:
        _ = options.wanted
    except ValueError as error:
        yield Problem("connection.security", *error.args[:2])


def _check_user(options: Options) -> Iterator[Problem]:
    if options.password and not options.username:
        yield Problem("connection.password", "there is no user name for it", "add username")
    if options.plaintext_password and not options.username:
        yield Problem(
            "connection.plaintext_password", "there is no password", "add username and password, or remove it"
        )
    if bool(options.certificate) != bool(options.private_key):
        yield Problem("connection.certificate", "certificate and key go together", "give certificate and private_key")
    if options.certificate and options.username:
        remedy = "remove one of them"
        yield Problem("connection.certificate", "a user has a name or a certificate, not both", remedy)


def _check_durations(options: Options) -> Iterator[Problem]:
    limits = {"timeout": (0.05, 60.0, "50ms", "60s"), "publishing_interval": (0.01, 3600.0, "10ms", "1h")}
    for key, (low, high, least, most) in limits.items():
        given = getattr(options, key)
        try:
            value = seconds(given)
        except ValueError as error:
            yield Problem(f"connection.{key}", str(error), 'write it as "250ms" or "1s"')
            continue
        if not (low <= value <= high or (key == "publishing_interval" and value == 0)):
            yield Problem(f"connection.{key}", f"{value:g} s is not sensible", f'write one from "{least}" to "{most}"')
