"""The platform's database: an old one is brought up to date, a newer one is left alone."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from scripts.sandbox.platform.store import SCHEMAS, Store


def _database(folder: Path, version: int) -> None:
    with closing(sqlite3.connect(folder / "platform.db")) as db:
        for schema in SCHEMAS[:version]:
            db.executescript(schema)
        if version:
            db.execute(
                "INSERT INTO gateways (id, thumbprint, public_key, hostname, hardware, version, enrolled, last_seen)"
                " VALUES ('gw-1', 't', '{}', 'h', 'x', '0.1.0', 1, 2)"
            )
        db.execute(f"PRAGMA user_version = {version}")
        db.commit()


@pytest.mark.parametrize("version", range(len(SCHEMAS) + 1))
def test_every_older_database_is_brought_up_to_date(tmp_path: Path, version: int) -> None:
    _database(tmp_path, version)
    for _ in range(2):
        with closing(Store(tmp_path)) as store:
            assert [each.id for each in store.gateways()] == (["gw-1"] if version else [])
    with closing(sqlite3.connect(tmp_path / "platform.db")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(SCHEMAS),)


def test_a_database_of_a_newer_program_is_not_touched(tmp_path: Path) -> None:
    _database(tmp_path, len(SCHEMAS))
    with closing(sqlite3.connect(tmp_path / "platform.db")) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(RuntimeError, match="schema 99"):
        Store(tmp_path)
