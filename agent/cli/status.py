"""``gongfu-edge status``: what the running agent says of itself."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Sequence

from agent.cli.main import parser_for
from agent.errors import GongfuError


def main(arguments: Sequence[str]) -> int:
    """Print the status; exit 1 when no agent answers."""
    parser = parser_for("status", example="  gongfu-edge status\n  gongfu-edge status --json")
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")
    options = parser.parse_args(arguments)
    from agent.config.parse import load

    listen = load(options.config).file.console.listen
    body = fetch(listen, "/api/status")
    if options.json:
        print(json.dumps(json.loads(body), indent=2, ensure_ascii=False))
    else:
        from agent.health.status import decode, render

        print(render(decode(body)))
    return 0


def fetch(listen: str, path: str) -> bytes:
    """GET from the running agent's local API. Raises GongfuError when nobody answers."""
    if not listen:
        raise GongfuError("the local API is switched off", remedy='set [console] listen = "127.0.0.1:8470"')
    # Straight to the loopback interface: a proxy of the environment has nothing to do with it.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{listen}{path}", timeout=5) as answer:
            body: bytes = answer.read()
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        reason = getattr(reason, "strerror", None) or reason
        raise GongfuError(
            f"no agent answers at http://{listen} ({reason})",
            remedy="start it: systemctl start gongfu-edge, or gongfu-edge run",
        ) from error
    return body
