"""Whatever is configured, laid over and fails: no uploaded byte tells of a value, name or address that may not leave.

Each register holds a number that occurs nowhere else, so that it is found wherever it leaks. What leaves goes through
the real client; a transport in the place of HTTP keeps paths, headers and bodies.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.buffer.records import DigestRecord, Loss, Stats
from agent.config.model import Configuration
from agent.config.overlay import Overlay
from agent.config.parse import loads
from agent.control.content import refusal_of
from agent.control.effective import effective
from agent.control.prescriptions import Refused
from agent.control.reasons import Refusal
from agent.digest.accumulate import Accumulator
from agent.digest.audience import views_of
from agent.digest.build import conclude
from agent.digest.inputs import DigestInputs
from agent.digest.report import encode
from agent.digest.spec import compile_spec
from agent.digest.windows import Period
from agent.errors import ConfigurationInvalid
from agent.health.status import ConfigStatus, buffer_status
from agent.platform_status import platform_status
from agent.uplink.answers import Answer
from agent.uplink.client import Client
from tests.support.config_driver import CONFIG
from tests.support.digest_plants import FACTS, SECOND, START, batch, ids
from tests.support.health_status import DOWN, DeviceNow, status

NAMES = ("temp", "recipe_no", "load", "count")
HOST = "10.11.12.13"
PATH = "/srv/plant-secret"


def marker(address: int) -> int:
    """What the register there holds; found again whatever it is scaled by."""
    return 7_103_141 + 1_009 * address


class Recorder:
    """In the place of HTTP: keeps what leaves."""

    url, host = "https://platform.example/api/v1", "platform.example"

    def __init__(self) -> None:
        self.sent = b""

    def size(self, *_: Any) -> int:
        return 1

    async def request(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        plain = gzip.decompress(body) if body and body[:2] == b"\x1f\x8b" else body or b""
        self.sent += b"\n".join([method.encode(), path.encode(), json.dumps(dict(headers)).encode(), plain])
        return Answer(204, {}, b"", 1)


class Bearer:
    gateway_id = "gw-1"

    def token(self, _audience: str, _now_s: int) -> str:
        return "token"


class Free:
    async def reserve(self, _size: int, _kind: str) -> None:
        return None

    async def settle(self, _reserved: Any, _upload: Any) -> None:
        return None


class Clock:
    def now(self) -> int:
        return START

    def platform_date(self, _utc_us: int) -> None:
        return None


sensitivities = st.lists(st.sampled_from([1, 1, 2, 3]), min_size=4, max_size=4)
scales = st.sampled_from([1, 3])


def tag(name: str, address: int, sensitivity: int | None, scale: int = 1) -> str:
    own = f"sensitivity = {sensitivity}\n" if sensitivity else ""
    return f'[[device.tag]]\nname = "{name}"\naddress = "holding:{address}"\ntype = "uint32"\nscale = {scale}\n{own}'


@st.composite
def plants(draw: Any) -> tuple[str, str, bool]:
    """A local file, an overlay, and whether the enterprise authorised sensitivity 2."""
    authorised = draw(st.booleans())
    levels = draw(sensitivities)
    shareable = [f"m.{name}" for name, each in zip(NAMES, levels, strict=True)
                 if (each == 1 or (each == 2 and authorised)) and name != "recipe_no"]  # fmt: skip
    share = draw(st.lists(st.sampled_from(shareable), unique=True)) if shareable else []
    allow = draw(st.sampled_from([["device"], ["device", "digest"], ["device", "digest", "equipment"]]))
    grants = (
        f'sections = ["tags", "coverage", "ledger"]\ntags = {json.dumps(share[:1])}'
        if share
        else ('sections = ["coverage", "ledger"]')
    )
    local = (
        f'[gateway]\nname = "g"\n[enterprise]\nenterprise_authorised = {json.dumps(authorised)}\n'
        f'[remote]\nallow = {json.dumps(allow)}\n[digest]\nperiod = "60s"\nshare = {json.dumps(share)}\n'
        f'never_share = ["*.RECIPE*"]\n[[audience]]\nname = "park"\nurl = "https://park.example"\n{grants}\n'
        f'[[equipment]]\nname = "press"\nproduced = "m.count"\n'
        f'[[device]]\nname = "m"\ndriver = "modbus"\nconnection = {{ host = "{HOST}" }}\n'
        + "".join(tag(name, 10 * at, each) for at, (name, each) in enumerate(zip(NAMES, levels, strict=True)))
    )
    rows = draw(st.lists(st.tuples(st.sampled_from([*NAMES, "x", "y"]), st.integers(0, 4), scales), max_size=4,
                         unique_by=lambda row: row[0]))  # fmt: skip
    device = draw(st.sampled_from(["m", "other"]))
    over = f'[[device]]\nname = "{device}"\ndriver = "modbus"\nconnection = {{ host = "{HOST}" }}\n' if rows else ""
    over += "".join(tag(name, 10 * at, None, scale) for name, at, scale in rows)
    if "digest" in allow and rows and draw(st.booleans()):
        over += f"[digest]\nshare = {json.dumps([f'{device}.{rows[0][0]}'])}\n"
    if "equipment" in allow and rows and draw(st.booleans()):
        over += f'[[equipment]]\nname = "press"\nproduced = "{device}.{rows[-1][0]}"\n'
    return local, over, authorised


@settings(max_examples=60, deadline=None)
@given(plants())
def test_a6_a7_nothing_that_may_not_leave_is_in_any_uploaded_byte(plant: tuple[str, str, bool]) -> None:
    local, over, authorised = plant
    alone = loads(local, CONFIG, {})
    try:
        made = loads(local, CONFIG, {}, Overlay(over, "revision 7"))
        refusal = failing(made)
    except ConfigurationInvalid as error:
        made, refusal = alone, refusal_of(error)
    sent = asyncio.run(uploaded(made, refusal)).decode()
    secret = {tag.point.address for each in alone.devices for tag in each.tags
              if tag.sensitivity == 3 or (tag.sensitivity == 2 and not authorised)}  # fmt: skip
    for address in (int(each.partition(":")[2]) for each in secret):
        for scale in (1, 3):
            assert str(marker(address) * scale) not in sent, f"holding:{address} leaked"
    for text in (PATH, "no space left", "refused by", "RECIPE"):
        assert text not in sent
    # The configuring platform knows the addresses that it configures; nobody and nothing else tells them.
    assert sent.count(HOST) == sent.count(f'"host":"{HOST}"')


def failing(made: Configuration) -> Refusal:
    """A dry run of which every line holds a value, and a driver's word an address."""
    tags = [tag for each in made.devices for tag in each.tags]
    text = "; ".join(f"{tag.series}: {held(tag)} → nothing (refused by {HOST}:502)" for tag in tags)
    return Refusal("dry_run_failed", text, f"look at {PATH}", tags=tuple((tag.series, "timeout") for tag in tags))


def held(tag: Any) -> float:
    return float(marker(int(tag.point.address.partition(":")[2])) * tag.point.scale)


async def uploaded(made: Configuration, refusal: Refusal) -> bytes:
    recorder = Recorder()
    client = Client(Bearer(), Clock(), recorder, Free())  # type: ignore[arg-type]
    for body in digests(made):
        record = DigestRecord(1, "period", START, START + SECOND, "a" * 64, "0" * 64, body, "jws")
        with_answer = asyncio.create_task(client.offer(record))
        await asyncio.gather(with_answer, return_exceptions=True)
    config = ConfigStatus(
        source="file", running_hash=made.hash, status="FAILED", last_error=refusal.line(),
        told_error=refusal.told(with_tags="device" in made.file.remote.allow),
    )  # fmt: skip
    full = buffer_status(Stats(1, 1, START, 1), max_bytes=10**9, failing=f"{PATH}: no space left on device")
    down = DeviceNow(name="m", state="down", last_error=f"refused by {HOST}:502", faults=(f"{HOST}: no",))
    seen = status(down, DOWN, config=config, buffer=full, stalled=f"{PATH} stalls")
    await client.report(platform_status(seen, made.file, effective(made.file)))
    return recorder.sent


def digests(made: Configuration) -> list[bytes]:
    series, groups = ids(made)
    spec = compile_spec(made, series, groups)
    tags = {tag.series: tag for each in made.devices for tag in each.tags}
    rows = [(number, START + at * SECOND, held(tags[name]), 0) for name, number in series.items() for at in range(10)]
    runs = [(number, START + at * SECOND, 0) for number in groups.values() for at in range(60)]
    period = Period(START, START + 60 * SECOND)
    refused = Refused(
        key="k", id="rx-1", revision=1, hash="b" * 64, reason=f"not_trusted: {PATH} refused by", at_us=START
    )
    assert PATH not in refused.told().reason
    inputs = DigestInputs(
        period=period, spec=spec, enterprise=made.file.enterprise, facts=FACTS, batches=(),
        losses=[Loss(START, START + SECOND, "device", "m", series="m.recipe_no", count=3)],
    )  # fmt: skip
    accumulator = Accumulator(spec, period)
    accumulator.add(batch(rows, runs))
    known, _ = conclude(inputs, accumulator.result())
    made_digests = [encode(known.told(view)) for view in views_of(made.file)]
    assert all(b"recipe_no" not in each for each in made_digests)
    return made_digests


def test_the_search_finds_what_leaks(tmp_path: Path) -> None:
    """The same search on what may leave: a shared value is found."""
    del tmp_path
    text = '[gateway]\nname = "g"\n[digest]\nperiod = "60s"\nshare = ["m.temp"]\n' + (
        f'[[device]]\nname = "m"\ndriver = "modbus"\nconnection = {{ host = "{HOST}" }}\n' + tag("temp", 0, 1, 3)
    )
    assert str(marker(0) * 3).encode() in digests(loads(text, CONFIG, {}))[0]
