"""Errors as the contract states them: problem details (RFC 9457)."""

from __future__ import annotations

from typing import Any

TITLES = {
    "malformed": (400, "The request cannot be read"),
    "signature": (400, "The signature does not fit the bytes"),
    "unauthenticated": (401, "The bearer token is not accepted"),
    "token-refused": (403, "The enrolment token is not accepted"),
    "forbidden": (403, "Not allowed"),
    "not-found": (404, "There is nothing here"),
    "method": (405, "The method is not allowed here"),
    "other-bytes": (409, "Another digest with this number is stored"),
    "not-trusted": (403, "No administrator of this platform has signed it"),
    "not-newer": (409, "There is a bundle that is as new"),
    "too-large": (413, "The body is too large"),
    "encoding": (415, "The content encoding is not supported"),
    "schema": (422, "The content breaks the schema"),
    "chain": (422, "The digest breaks the chain"),
    "busy": (503, "Try again later"),
    "failure": (500, "The platform failed"),
}


class Problem(Exception):
    """A refused request. ``kind`` is a key of :data:`TITLES`; ``members`` extend the problem's body."""

    def __init__(
        self,
        kind: str,
        detail: str,
        *,
        status: int | None = None,
        headers: dict[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.status = status or TITLES[kind][0]
        self.detail = detail
        self.members = members
        self.headers = headers or {}
        if self.status == 401:
            self.headers.setdefault("WWW-Authenticate", 'Bearer error="invalid_token"')

    def body(self) -> dict[str, Any]:
        """The problem's JSON object."""
        return {
            "type": f"urn:gongfu:problem:{self.kind}",
            "title": TITLES[self.kind][1],
            "status": self.status,
            "detail": self.detail,
            **self.members,
        }
