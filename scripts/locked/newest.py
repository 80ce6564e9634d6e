"""Print what pyproject.toml asks for without its ceilings: what ``./scripts/test --newest`` installs."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def requirements() -> Iterator[str]:
    """Every direct dependency, each with its floor only."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lists = [project["project"]["dependencies"], *project["project"]["optional-dependencies"].values()]
    for group in (*lists, *project["dependency-groups"].values()):
        for requirement in group:
            yield re.sub(r",?<[^,;]*", "", requirement)


if __name__ == "__main__":
    print("\n".join(requirements()))
