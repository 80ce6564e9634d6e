"""What may leave the plant; with attempts to get round it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from agent.config.model import EnterpriseSection
from agent.digest.build import build
from agent.digest.inputs import DigestInputs
from agent.digest.report import encode
from agent.digest.spec import SharedTag, compile_spec
from agent.digest.windows import Period
from agent.disclosure.sharing import INSUFFICIENT, Candidate, Policy, refusal
from tests.support.digest_plants import FACTS, SECOND, START, batch, configuration, device, ids, tag

TAGS = [
    tag("p.open", 0),
    tag("p.guarded", 1, sensitivity=2),
    tag("p.secret", 2, sensitivity=3),
    tag("p.text", 3, kind="text"),
    tag("p.unlisted", 4),
    tag("p.zone[0]", 5),
    tag("p.zone[1]", 6),
]
EVERYTHING = ["p.open", "p.guarded", "p.secret", "p.text", "p.zone"]


def digest_of(*, authorised: bool, scans: int = 10, smuggled: list[SharedTag] | None = None) -> dict[str, Any]:
    enterprise = EnterpriseSection(enterprise_authorised=authorised)
    plant = configuration([device("p", TAGS)], share=EVERYTHING, enterprise=enterprise)
    series, groups = ids(plant)
    spec = compile_spec(plant, series, groups)
    if smuggled:
        spec = replace(spec, shared=(*spec.shared, *smuggled))
    rows = [(number, START, 1.0, 0) for number in series.values()]
    runs = [(number, START + i * SECOND, 0) for number in groups.values() for i in range(scans)]
    inputs = DigestInputs(
        period=Period(START, START + scans * SECOND),
        spec=spec,
        enterprise=enterprise,
        facts=FACTS,
        batches=[batch(rows, runs)],
    )
    return msgspec.json.decode(encode(build(inputs)))  # type: ignore[no-any-return]


def names(digest: dict[str, Any]) -> set[str]:
    return {line["name"] for line in digest["tags"]}


def test_only_listed_tags_of_level_one_leave_by_default() -> None:
    assert names(digest_of(authorised=False)) == {"p.open", "p.zone[0]", "p.zone[1]"}


def test_level_two_leaves_with_authorisation_and_level_three_and_text_never() -> None:
    assert names(digest_of(authorised=True)) == {"p.open", "p.guarded", "p.zone[0]", "p.zone[1]"}


def test_nothing_is_shared_unless_it_is_listed() -> None:
    policy = Policy(share=frozenset(), enterprise_authorised=True)
    assert all(refusal(Candidate(name=x.series, kind=x.kind, sensitivity=1), policy) for x in TAGS)


@pytest.mark.parametrize("row", [1, 2, 3, 4])
def test_a_tag_smuggled_into_the_specification_is_stopped_at_the_report(row: int) -> None:
    source = TAGS[row]
    candidate = Candidate(name=source.series, kind=source.kind, sensitivity=source.sensitivity)
    digest = digest_of(authorised=False, smuggled=[SharedTag(tag=candidate, row=row, unit="")])
    assert source.series not in names(digest)


def test_fewer_than_three_good_scans_are_named_but_not_told() -> None:
    line = digest_of(authorised=False, scans=2)["tags"][0]
    assert line["reason"] == INSUFFICIENT
    assert line["good"] == 2
    assert all(line[key] is None for key in ("mean", "min", "max", "std", "first", "last", "p05", "p50", "p95"))


def test_names_that_begin_alike_are_not_shared() -> None:
    policy = Policy(share=frozenset({"p.zone"}), enterprise_authorised=False)
    assert refusal(Candidate(name="p.zone[3]", kind="gauge", sensitivity=1), policy) is None
    assert refusal(Candidate(name="p.zones", kind="gauge", sensitivity=1), policy)
    assert refusal(Candidate(name="p.zone[3]", kind="gauge", sensitivity=0), policy)


def test_plc_addresses_never_leave() -> None:
    assert "holding" not in str(digest_of(authorised=True))
