"""Tables of indicators and findings that the configuration brings, written in it or in a file beside it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from agent.config.bounds import TooMuch, check_text, check_values
from agent.config.convert import BAD, Context, convert
from agent.config.digest_tables import FindingTable, IndicatorTable
from agent.config.model import DigestSection
from agent.config.problems import Place, Problems
from agent.config.references import Unreadable, read_file
from agent.config.table_checks import check_findings, check_indicators

LARGEST_TABLE = 256 * 1024
FORM = "gongfu-edge digest table shows the form"

TYPES: dict[str, type[IndicatorTable] | type[FindingTable]] = {"indicators": IndicatorTable, "findings": FindingTable}


def with_tables(section: DigestSection, folder: Path, place: Place, context: Context) -> DigestSection:
    """The same with the tables of its files in their place, all of them checked.

    A table that is written in the configuration holds before one in a file: what comes from outside is the former.
    """
    given: dict[str, Any] = {}
    for name in TYPES:
        source = getattr(section, f"{name}_file")
        table, where = getattr(section, name), (place, name)
        if table is None and source:
            table, where = _of_file(name, folder, source, (place, f"{name}_file"), context), source
        if table is not None:
            check_table(table, where, context.problems)
        given |= {name: table, f"{name}_file": ""}
    return msgspec.structs.replace(section, **given)


def check_table(table: IndicatorTable | FindingTable, place: Place, problems: Problems) -> None:
    """Note what is wrong with a table."""
    if isinstance(table, IndicatorTable):
        check_indicators(table, place, problems)
    else:
        check_findings(table, place, problems)


def read_values(path: Path, name: str, place: Place, problems: Problems) -> Mapping[str, Any] | None:
    """The plain values of a table's file (JSON, or TOML where it is called so); None after a problem was noted."""
    try:
        text = read_file(path, LARGEST_TABLE).decode("utf-8-sig")
        if path.suffix == ".toml":
            check_text(text)
        values = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
        check_values({"": values})
    except Unreadable as error:
        problems.add(place, str(error), error.remedy)
        return None
    except TooMuch as error:
        problems.add(name, str(error), error.remedy)
        return None
    except RecursionError:
        problems.add(name, "is nested too deeply", "write fewer brackets within one another")
        return None
    except ValueError as error:  # no UTF-8, no JSON, no TOML
        problems.add(name, f"cannot be read: {error}", f"save it as JSON in UTF-8; {FORM}")
        return None
    if isinstance(values, Mapping):
        return values
    problems.add(name, "holds no table", FORM)
    return None


def _of_file(name: str, folder: Path, source: str, place: Place, context: Context) -> Any:
    values = read_values(folder / source, source, place, context.problems)
    if values is None:
        return None
    table = convert(values, TYPES[name], source, context)
    return None if table is BAD else table
