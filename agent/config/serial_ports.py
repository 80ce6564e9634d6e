"""Names of serial ports that change: the kernel numbers USB adapters in the order in which it meets them."""

from __future__ import annotations

import re
from pathlib import Path

from agent.config.model import Configuration

BY_ID = Path("/dev/serial/by-id")
_NUMBERED = re.compile(r"/dev/tty(USB|ACM)\d+")


def port_warnings(configuration: Configuration, by_id: Path = BY_ID) -> list[str]:
    """A line for each port that may be another adapter after the next start, with the name that stays."""
    used = {
        str(section.connection["port"]): section.name
        for section in configuration.file.device
        if _NUMBERED.fullmatch(str(section.connection.get("port", "")))
    }
    names = _lasting_names(by_id)
    if max(len(used), len(names)) < 2:
        return []
    return [
        f"{device}: {port} may be another adapter after a restart, there is more than one; {_remedy(port, names)}"
        for port, device in used.items()
    ]


def _remedy(port: str, names: dict[str, str]) -> str:
    name = names.get(str(Path(port).resolve()))
    return f'write port = "{name}"' if name else "plug it in and use its name in /dev/serial/by-id or by-path"


def _lasting_names(by_id: Path) -> dict[str, str]:
    """Port → its name by the adapter's own number."""
    try:
        return {str(each.resolve()): str(each) for each in sorted(by_id.iterdir())}
    except OSError:
        return {}
