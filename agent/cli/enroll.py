"""``gongfu-edge enroll``: make the gateway known to a platform with a one-time token."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from agent.cli.main import parser_for


def main(arguments: Sequence[str]) -> int:
    """Enrol; prints the gateway's id."""
    parser = parser_for(
        "enroll", example="  sudo gongfu-edge enroll --url https://platform.example/api/v1 --token K7QF-…"
    )
    parser.add_argument("--url", required=True, help="the platform's base URL, as in [platform] url")
    parser.add_argument("--token", required=True, help="one-time token from the platform")
    options = parser.parse_args(arguments)
    from agent.config.parse import load
    from agent.control.secrets import EncryptionKey
    from agent.evidence.identity import Identity
    from agent.uplink.enrol import enroll

    file = load(options.config).file
    platform = file.platform
    folder = Path(file.gateway.data_dir) / "identity"
    before = Identity.load_or_create(folder).enrolment
    encryption_key = EncryptionKey.load_or_create(folder)
    enrolled = enroll(
        options.url,
        options.token,
        folder,
        encryption_key=encryption_key.public_jwk(),
        ca_file=platform.ca_file if platform else "",
        proxy=platform.proxy.plain if platform else "",
    )
    again = " again" if before else ""
    instead = ""
    if before and (before.gateway_id, before.url) != (enrolled.gateway_id, enrolled.url):
        instead = f"; before, it was {before.gateway_id} at {before.url}"
    print(f"enrolled{again} as {enrolled.gateway_id} at {enrolled.url}{instead}")
    if enrolled.enterprise and enrolled.enterprise != file.enterprise.name:
        print(f'note: the platform expects "{enrolled.enterprise}"; [enterprise] name is "{file.enterprise.name}"')
    print(f"secrets for this gateway are sealed for key {encryption_key.thumbprint}")
    if platform is None or platform.url.rstrip("/") != options.url.rstrip("/"):
        print(f'next: set [platform] url = "{options.url}" in {options.config} and restart the agent')
    return 0
