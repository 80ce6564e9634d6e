"""Pretend that pip installed a third party's package."""

from __future__ import annotations

from pathlib import Path


def install(folder: Path, distribution: str, modules: dict[str, str], entry_points: dict[str, str]) -> None:
    """Put modules and a distribution's metadata into a folder of ``sys.path``.

    ``modules``: name → source; ``entry_points``: driver name → ``module:attribute``.
    """
    for module, source in modules.items():
        (folder / f"{module}.py").write_text(source, encoding="utf-8")
    info = folder / f"{distribution.replace('-', '_')}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
    lines = [f"{name} = {value}\n" for name, value in entry_points.items()]
    (info / "entry_points.txt").write_text("".join(["[gongfu_edge.drivers]\n", *lines]))
