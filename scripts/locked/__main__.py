"""Resolve every set and write it down with the hashes of those wheels that a gateway or a developer can use.

``uv`` resolves for all platforms at once and names every file. Of those, the wheels for our targets are kept: a
package without a wheel for one of them is an error here and not on a gateway.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.markers import Marker
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "scripts/locked"
PYTHONS = ((3, 11), (3, 12), (3, 13), (3, 14))
MACHINES = ("x86_64", "aarch64")
GLIBC = 36
"""Minor version of Debian 12's C library, the oldest that we install on."""
SETS: dict[str, list[str]] = {
    "runtime": [],
    "report": ["--extra", "report"],
    "build": ["--only-group", "build"],
    "demo": ["--group", "platform", "--group", "build"],
    "dev": ["--extra", "report", "--group", "platform", "--group", "build", "--group", "dev"],
    "lock": ["--only-group", "lock"],
}


def targets() -> Iterator[tuple[dict[str, str], frozenset[Tag]]]:
    """Each target's environment for markers, and the tags of the wheels that it takes."""
    for python in PYTHONS:
        version = ".".join(map(str, python))
        for machine in MACHINES:
            platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(GLIBC, 16, -1)]
            platforms += [f"manylinux2014_{machine}", f"linux_{machine}"]
            tags = {*cpython_tags(python, platforms=platforms), *compatible_tags(python, platforms=platforms)}
            yield environment(version, machine), frozenset(tags)


def environment(python: str, machine: str) -> dict[str, str]:
    """What the markers of requirements ask about a target."""
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{python}.0",
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
    }


def resolve(arguments: list[str], locked: Path, upgrade: bool) -> list[dict[str, Any]]:
    """The packages of one set with all their files, as ``uv`` resolves them."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "pylock.toml")
        kept = ["-c", str(locked)] if locked.exists() and not upgrade else []
        command = ["uv", "pip", "compile", "--quiet", "--universal", "--format", "pylock.toml", "--no-header"]
        command += ["--python-version", "3.11", "--no-annotate", "-o", str(out), *kept]
        sources = [] if "--only-group" in arguments else ["pyproject.toml"]
        groups = ["--group" if each == "--only-group" else each for each in arguments]
        subprocess.run([*command, *groups, *sources], cwd=ROOT, check=True)
        packages: list[dict[str, Any]] = tomllib.loads(out.read_text())["packages"]
        return packages


def entry(package: dict[str, Any]) -> str | None:
    """One package's lines; None when no target needs it. Raises SystemExit when a target would find no wheel."""
    marker = Marker(package["marker"]) if "marker" in package else None
    hashes: set[str] = set()
    everywhere = True
    for where, tags in targets():
        if marker is not None and not marker.evaluate(where):
            everywhere = False
            continue
        fitting = [wheel for wheel in package.get("wheels", ()) if parse_wheel_filename(name_of(wheel))[3] & tags]
        if not fitting:
            raise SystemExit(
                f"lock: {package['name']} {package['version']} has no wheel for Python {where['python_version']} on "
                f"{where['platform_machine']} → set a ceiling in pyproject.toml, or choose another package"
            )
        hashes |= {wheel["hashes"]["sha256"] for wheel in fitting}
    if not hashes:
        return None
    head = f"{package['name']}=={package['version']}" + ("" if everywhere else f" ; {marker}")
    return " \\\n".join([head, *(f"    --hash=sha256:{each}" for each in sorted(hashes))]) + "\n"


def name_of(wheel: dict[str, Any]) -> str:
    """The file name of a wheel."""
    return str(wheel.get("name") or wheel["url"].rsplit("/", 1)[1])


def main(upgrade: bool) -> None:
    """Write every set. The largest comes first; the others keep to its versions."""
    whole = HERE / "dev.txt"
    for name in sorted(SETS, key=lambda each: each != "dev"):
        entries = [entry(package) for package in resolve(SETS[name], whole, upgrade and name == "dev")]
        text = f"# Made by ./scripts/lock. {name}: see pyproject.toml.\n" + "".join(filter(None, entries))
        (HERE / f"{name}.txt").write_text(text)
        print(f"lock: {name}.txt has {len([each for each in entries if each])} packages")


main("--upgrade" in sys.argv[1:])
