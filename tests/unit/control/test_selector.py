"""Whom a selector addresses."""

from __future__ import annotations

import pytest

from agent.config.model import EnterpriseSection
from agent.control.bundle import Bundle
from agent.control.selector import selects
from tests.support.control_bundles import ENTERPRISE, Signer, code, judged, signed, trusting

pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")

ADMIN = Signer()


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ({"park": "hongkou-01"}, True),
        ({"chain": "machine-tools"}, True),
        ({"district": "310109", "town": "Quyang", "park": "hongkou-01", "chain": "auto-parts"}, True),
        ({"park": "hongkou-02"}, False),
        ({"park": "hongkou-01", "chain": "textiles"}, False),
        ({"park": "HONGKOU-01"}, False),
        ({"chain": "auto"}, False),
    ],
)
def test_every_field_given_must_be_the_gateways_own(selector: dict[str, str], matches: bool) -> None:
    assert selects(selector, ENTERPRISE) is matches
    found = judged(signed(ADMIN, gateway_id=None, selector=selector), trusting(ADMIN))
    assert isinstance(found, Bundle) if matches else code(found) == "not_addressed"


def test_nothing_selects_a_gateway_that_does_not_say_where_it_is() -> None:
    nowhere = EnterpriseSection()
    assert not any(selects({field: ""}, nowhere) for field in ("district", "town", "park", "chain"))
    assert not selects({}, ENTERPRISE) and not selects({"name": ""}, ENTERPRISE)


def test_a_bundle_for_another_gateway_is_not_for_this_one() -> None:
    assert code(judged(signed(ADMIN, gateway_id="gw-0123456789abcdee"), trusting(ADMIN))) == "not_addressed"
