"""B1: who trusts nobody says so, with the remedy."""

from __future__ import annotations

from agent.health.status import ConfigStatus
from tests.support.health_status import status


def test_b1_nobody_trusted_is_a_warning_with_its_remedy() -> None:
    problem = "trust file /etc/x.jwks is missing, so no administrator is trusted → put the list there"
    found = status(config=ConfigStatus(source="file", running_hash="ab" * 32, trust_problem=problem))
    assert any(problem in warning for warning in found.health.warnings)
    assert not any("trusted" in warning for warning in status().health.warnings)
