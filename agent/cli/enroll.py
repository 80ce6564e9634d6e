"""``gongfu-edge enroll``: make the gateway known to a platform with a one-time token."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.cli.main import parser_for
from agent.errors import GongfuError
from agent.table import one_line

if TYPE_CHECKING:
    from agent.config.model import AudienceSection, FileSection


def main(arguments: Sequence[str]) -> int:
    """Enrol; prints the gateway's id."""
    parser = parser_for(
        "enroll", example="  sudo gongfu-edge enroll --url https://platform.example/api/v1 --token K7QF-…"
    )
    parser.add_argument("--url", required=True, help="the platform's base URL, as in [platform] url")
    parser.add_argument("--token", required=True, help="one-time token from the platform")
    parser.add_argument("--audience", default="", metavar="NAME", help="for an [[audience]] with a platform of its own")
    parser.add_argument(
        "--accept-admins", nargs="+", default=None, metavar="SHA256",
        help="fingerprints of the administrators to trust, as they told you themselves (else you are asked)",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    from agent.cli.owner import loaded
    from agent.control.secrets import EncryptionKey
    from agent.evidence.identity import Identity
    from agent.uplink.enrol import enroll

    file = loaded(options.config).file
    way = _audience(file, options.audience) if options.audience else file.platform
    folder = Path(file.gateway.data_dir) / "identity"
    identity = Identity.load_or_create(folder)
    before = (identity.persona(options.audience) if options.audience else identity).enrolment
    # Only the platform that the gateway belongs to configures it, and seals secrets for it.
    encryption_key = None if options.audience else EncryptionKey.load_or_create(folder)
    asks = not file.remote.trust_path.exists()  # else the operator has said whom to trust
    enrolled = enroll(
        options.url,
        options.token,
        folder,
        encryption_key=encryption_key.public_jwk() if encryption_key else None,
        ca_file=way.ca_file if way else "",
        proxy=way.proxy.plain if way else "",
        audience=options.audience,
        accept=lambda admins: accepted(admins, options.accept_admins) if asks or options.accept_admins else (),
    )
    again = " again" if before else ""
    instead = ""
    if before and (before.gateway_id, before.url) != (enrolled.gateway_id, enrolled.url):
        instead = f"; before, it was {before.gateway_id} at {before.url}"
    print(f"enrolled{again} as {enrolled.gateway_id} at {enrolled.url}{instead}")
    if enrolled.enterprise and enrolled.enterprise != file.enterprise.name:
        print(f'note: the platform expects "{enrolled.enterprise}"; [enterprise] name is "{file.enterprise.name}"')
    if encryption_key:
        print(f"secrets for this gateway are sealed for key {encryption_key.thumbprint}")
    if way is None or way.url.rstrip("/") != options.url.rstrip("/"):
        table = f'url of [[audience]] "{options.audience}"' if options.audience else "[platform] url"
        print(f'next: set {table} = "{options.url}" in {options.config} and restart the agent')
    return 0


def accepted(admins: Mapping[str, Any], given: Sequence[str] | None) -> tuple[str, ...]:
    """The fingerprints of all administrators on the platform's list, if the operator accepts every one; else none.

    ``given``: those that the operator named; None: to be asked where there is a terminal.
    """
    from agent.evidence.identity import fingerprints

    try:
        known = dict.fromkeys(fingerprints(admins))
    except ValueError as error:
        print(f"the platform's list of administrators {error}; nobody on it is trusted", file=sys.stderr)
        return ()
    if not known:
        if given:
            print(
                "the platform named no administrators; put their list where [remote] trust_file says", file=sys.stderr
            )
        return ()
    if given is None:
        if not sys.stdin.isatty():
            print(
                "the platform's administrators are not trusted yet → ask them for their fingerprints, then: "
                "gongfu-edge enroll … --accept-admins SHA256… (or name a trust file in [remote])",
                file=sys.stderr,
            )
            return ()
        print(f"The platform names these administrators; {admins.get('threshold', 1)} of them must sign what it sends:")
        for fingerprint, key in zip(fingerprints(admins), admins["keys"], strict=True):
            print(f"  SHA256:{fingerprint}  {one_line(str(key.get('name', '')))}")
        print("Compare with what they told you themselves, and not with what the platform shows.")
        return tuple(known) if input("Trust all of them? Type yes: ").strip().lower() == "yes" else ()
    wanted = {each.removeprefix("SHA256:") for each in given}
    others, absent = [each for each in known if each not in wanted], wanted - known.keys()
    for fingerprint in others:
        print(f"SHA256:{fingerprint} is on the platform's list and was not accepted", file=sys.stderr)
    for fingerprint in sorted(absent):
        print(f"SHA256:{fingerprint} is not on the platform's list", file=sys.stderr)
    if others or absent:
        print("nobody on the platform's list is trusted → ask its operator what these keys are", file=sys.stderr)
        return ()
    return tuple(known)


def _audience(file: FileSection, name: str) -> AudienceSection:
    from agent.config.model import OWN_PLATFORM
    from agent.config.problems import did_you_mean

    found = next((each for each in file.audience if each.name == name), None)
    if found is None:
        names = [each.name for each in file.audience]
        raise GongfuError(
            f'there is no audience "{name}"', remedy=did_you_mean(name, names) or "add [[audience]] with that name"
        )
    if found.url == OWN_PLATFORM:
        raise GongfuError(
            f'audience "{name}" is at the platform that the gateway belongs to',
            remedy="enrol there, without --audience",
        )
    return found
