"""Whatever is in the file: a configuration, or a list of problems, and nothing else."""

from __future__ import annotations

import datetime
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.config.model import Configuration
from agent.config.parse import loads
from agent.config.problems import Problems
from agent.config.summary import summary
from agent.config.tables import read_table
from agent.errors import ConfigurationInvalid
from drivers import registry
from tests.support.config_driver import CONFIG
from tests.support.config_driver import DRIVER as PLC

SOUND: dict[str, Any] = {
    "gateway": {"name": "g", "timezone": "Asia/Shanghai", "data_dir": "/tmp/x"},
    "enterprise": {
        "credit_code": "91350100M000100Y43",
        "chains": [{"name": "a", "owner": "91350100M000100Y43"}],
        "inventory": {"production_equipment": 3, "digital": 1},
    },
    "platform": {"url": "https://x.example", "proxy": {"env": "P"}, "max_bytes_per_day": "50MB"},
    "remote": {"allow": ["device"], "probation": "60s"},
    "buffer": {"max_size": "2GB", "retention": "30d", "flush": "5s"},
    "digest": {"period": "15m", "share": ["p.a"]},
    "console": {"listen": "127.0.0.1:8470"},
    "device": [
        {
            "name": "p",
            "driver": "plc",
            "interval": "1s",
            "connection": {"host": "h", "port": 502, "password": {"env": "P"}, "retry": {"times": 3}},
            "tag": [
                {"name": "a", "address": "holding:1", "scale": 0.1, "invalid": ["nan", 7], "count": 3},
                {"name": "b", "address": "holding:9", "kind": "counter", "rollover": 65536},
            ],
        },
        {
            "name": "q",
            "driver": "simulated",
            "connection": {"latency": "1ms"},
            "tag": [{"name": "s", "address": "sine"}],
        },
    ],
    "equipment": [
        {
            "name": "p",
            "state": {"tag": "p.b", "map": {"0": "off"}},
            "produced": "p.b",
            "calendar": {"days": ["mon"], "shifts": ["08:00-16:00"], "breaks": []},
        }
    ],
}
WORDS = st.sampled_from(
    ["", "p", "p.a", "name", "1s", "nan", "0x10", "x" * 300, "\x00", "\ud7ff\u202e", "a\nb", "-1", "/"]
)
SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([0, -1, 2**63, 1_000_000_000, 10**400]),
    st.builds(lambda: 1 << 40_000),  # too long for Python to show
    st.floats(),
    WORDS,
    st.text(max_size=20),
    st.just(datetime.date(2026, 1, 1)),
    st.just(datetime.time(1, 2)),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(WORDS | st.sampled_from(["env", "file", "tag", "name"]), inner, max_size=3)
    ),
    max_leaves=6,
)


def _spots(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [spot for key, each in items for spot in [(*path, key), *_spots(each, (*path, key))]]


def _mutated(value: Any, path: tuple[Any, ...], how: str, new: Any) -> Any:
    key, rest = path[0], path[1:]
    copy = value.copy()
    if rest:
        copy[key] = _mutated(value[key], rest, how, new)
    elif how == "replace":
        copy[key] = new
    elif how == "remove":
        del copy[key]
    elif isinstance(copy, list):
        copy.append(copy[key])
    else:
        copy[f"{key}x"] = copy[key]
    return copy


SPOTS = _spots(SOUND)
MUTATIONS = st.lists(
    st.tuples(st.sampled_from(SPOTS), st.sampled_from(["replace", "remove", "double"]), VALUES), max_size=4
)


def _outcome(monkeypatch, raw: dict[str, Any]) -> None:
    monkeypatch.setattr("agent.config.parse._parse", lambda _text, _name: raw)
    try:
        made = loads("", CONFIG, {"P": "hunter2"})
    except ConfigurationInvalid as error:
        assert error.problems
        assert all(line.isprintable() and "hunter2" not in line for line in error.problems)
    else:
        assert isinstance(made, Configuration)
        assert "hunter2" not in summary(made)


def test_no_mutation_raises_anything_but_the_list_of_problems(monkeypatch):
    real = registry.load
    monkeypatch.setattr(registry, "load", lambda name: PLC if name == "plc" else real(name))
    _outcome(monkeypatch, SOUND)

    @settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
    @given(MUTATIONS)
    def run(mutations):
        raw = SOUND
        for path, how, new in mutations:
            try:
                raw = _mutated(raw, path, how, new)
            except (KeyError, IndexError, TypeError, AttributeError):
                continue  # an earlier mutation took the spot away
        _outcome(monkeypatch, raw)

    run()


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200) | st.text("[]{}=\"'\n.#ab1-:\\", max_size=80))
def test_no_text_raises_anything_but_the_list_of_problems(text):
    try:
        loads(text, CONFIG, {})
    except ConfigurationInvalid as error:
        assert error.problems


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=200)
    | st.text("name,address;\t\n\r\"'0x|=#é油", max_size=120).map(lambda text: f"name,scale,invalid\n{text}".encode())
)
def test_no_bytes_break_the_reader_of_tables(data):
    read_table(data, "t.csv", Problems())
