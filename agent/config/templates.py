"""Ready-made tag lists: data files in ``templates/``, one a device model.

Each is a tag table with a head of ``# key: value`` lines; ``driver`` names the driver it is for.
The register maps come from public documents; none has been seen on the device unless the head says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agent.config.problems import Problems
from agent.config.tables import Row, read_table

_FOLDER = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class Template:
    """A tag list and the driver that its addresses are meant for."""

    driver: str
    rows: list[Row]


def names() -> list[str]:
    """The templates there are."""
    return sorted(path.stem for path in _FOLDER.glob("*.csv"))


def load(name: str, problems: Problems) -> Template | None:
    """A template by its name; None where there is none of that name."""
    if name not in names():  # looked up and not joined to the path: the name comes from outside
        return None
    data = (_FOLDER / f"{name}.csv").read_bytes()
    return Template(head(data).get("driver", ""), read_table(data, f"template {name}", problems))


def hints(name: str) -> dict[str, str]:
    """What the head of a template proposes for keys of the device, such as the registers of ratios."""
    if name not in names():
        return {}
    return {key: value for key, value in head((_FOLDER / f"{name}.csv").read_bytes()).items() if key.endswith("_ratio")}


def head(data: bytes) -> dict[str, str]:
    """The ``# key: value`` lines at the top of a template."""
    found: dict[str, str] = {}
    for line in data.decode().splitlines():
        if not line.startswith("#"):
            break
        key, colon, value = line.lstrip("# ").partition(": ")
        if colon and key.isidentifier():
            found[key] = value.strip()
    return found
