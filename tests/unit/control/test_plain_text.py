"""B9: what the second administrator reads is what is signed: no sign hides or turns it, wherever it stands."""

from __future__ import annotations

import pytest

from agent.config.plain_text import hidden
from agent.control.bundle import Bundle
from agent.control.content import read_content
from agent.control.reasons import Refusal
from tests.support.control_bundles import Signer, code, judged, signed, trusting

pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")

WANG = Signer("wang")
SIGNS = {
    "override": "\u202e", "isolate": "\u2067", "mark": "\u200f", "C1": "\u0085", "CSI": "\u009b", "escape": "\x1b",
    "zero width": "\u200b", "joiner": "\u200d", "word joiner": "\u2060", "byte order": "\ufeff",
    "soft hyphen": "\u00ad",
    "tag": "\U000e0041", "line": "\u2028", "filler": "\u3164", "delete": "\x7f",
}  # fmt: skip
ALLOWED = ["device", "equipment", "digest"]


@pytest.mark.parametrize("sign", SIGNS.values(), ids=SIGNS)
def test_b9_signs_that_hide_or_turn_are_refused_in_an_overlay(sign: str) -> None:
    escaped = f"\\U{ord(sign):08x}"
    places = [
        f'equipment = [{{ name = "press{escaped}" }}]',
        f'equipment = [{{ name = "press", "state{escaped}" = 1 }}]',
        f'digest.share = ["a", ["{escaped}"]]',
    ]
    if sign >= " " and sign != "\x7f":  # else no TOML at all
        places += [f'equipment = [{{ name = "press{sign}" }}]', f"# {sign}\n[digest]"]
    for text in places:
        found = read_content(text, ALLOWED)
        assert isinstance(found, Refusal) and found.code == "invalid" and sign not in found.line()


@pytest.mark.parametrize("sign", SIGNS.values(), ids=SIGNS)
def test_b9_and_in_every_other_place_of_a_bundle(sign: str) -> None:
    trust = trusting(WANG)
    new = {"keys": [WANG.jwk() | {"name": f"wang{sign}"}], "threshold": 1}
    assert code(judged(signed(WANG, trust=new), trust)) == "malformed"
    assert code(judged(signed(WANG, config=f"# {sign}"), trust)) == "malformed"


def test_b9_what_people_write_is_plain() -> None:
    assert isinstance(
        judged(signed(WANG, config="# 冲压 1\u3000号\r\n\t[digest] # °C µ é 🏭\n"), trusting(WANG)), Bundle
    )
    assert not hidden("冲压-1 °C")
