"""TOML that is written is read as the same values."""

from __future__ import annotations

import datetime
import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.control.toml import write_toml

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    TEXT,
    st.dates(),
    st.times(),
    st.datetimes(),
    st.datetimes(timezones=st.just(datetime.timezone(datetime.timedelta(hours=8)))),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=12
)


@settings(max_examples=500)
@given(st.dictionaries(TEXT, VALUES, max_size=5))
def test_every_value_comes_back(tables: dict[str, Any]) -> None:
    assert tomllib.loads(write_toml(tables)) == tables


def test_a_configuration_looks_as_people_write_it() -> None:
    tables = {
        "digest": {"period": "15m", "share": ["p.a"]},
        "device": [
            {
                "name": "p",
                "connection": {"host": "h", "port": 502},
                "tag": [{"name": "a", "scale": 0.1}, {"name": "b", "unit": "°C"}],
            },
            {"name": "q", "tag": []},
        ],
    }
    assert write_toml(tables) == (
        '[digest]\nperiod = "15m"\nshare = ["p.a"]\n\n'
        '[[device]]\nname = "p"\nconnection = { host = "h", port = 502 }\n\n'
        '[[device.tag]]\nname = "a"\nscale = 0.1\n\n[[device.tag]]\nname = "b"\nunit = "°C"\n\n'
        '[[device]]\nname = "q"\ntag = []\n'
    )


def test_what_toml_cannot_say_is_an_error() -> None:
    with pytest.raises(TypeError, match="NoneType"):
        write_toml({"a": None})
    assert write_toml({}) == "\n"
