"""The answer to function 43/14, device identification. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

NAMES = {
    0: "vendor",
    1: "product_code",
    2: "revision",
    3: "vendor_url",
    4: "product_name",
    5: "model",
    6: "application",
}
_HEAD = 7
"""Function, MEI type, code, conformity, more follows, next object, number of objects."""


@dataclass(slots=True)
class Identification:
    """What a device says of itself, gathered from one answer or several."""

    objects: dict[str, str] = field(default_factory=dict)
    next_object: int | None = 0
    """Object to ask for next; None when all is said."""

    def add(self, pdu: bytes) -> None:
        """Take an answer's objects; raises ValueError when it is none."""
        if len(pdu) < _HEAD or pdu[1] != 0x0E:
            raise ValueError("no device identification")
        at, before = _HEAD, len(self.objects)
        for _ in range(pdu[6]):
            number, length = pdu[at : at + 2]
            text = pdu[at + 2 : at + 2 + length]
            if len(text) != length:
                raise ValueError("device identification is cut off")
            self.objects[NAMES.get(number, f"object_{number}")] = text.decode("utf-8", "replace").strip(" \0")
            at += 2 + length
        more = pdu[4] == 0xFF and pdu[5] > (self.next_object or 0) and len(self.objects) > before
        self.next_object = pdu[5] if more else None
