"""Machine states by known standards: OPC UA for Machinery, and PackML. Pure.

A state is offered with a preset only where its numbers are the preset's; numbers alone say nothing,
because other specifications number the same names differently (Execute is 6 in PackTags, and 4 in the
tobacco machines' companion specification).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from drivers.browsing import StateFound
from drivers.opcua.tree import Node, guess_kind

MACHINERY = "http://opcfoundation.org/UA/Machinery/"
PACKML = "http://opcfoundation.org/UA/PackML/"
_ITEM_STATE_TYPE = f"nsu={MACHINERY};i=1002"

_NAMES = (
    *("Clearing", "Stopped", "Starting", "Idle", "Suspended", "Execute", "Stopping", "Aborting", "Aborted"),
    *("Holding", "Held", "Unholding", "Suspending", "Unsuspending", "Resetting", "Completing", "Complete"),
)
PACKML_NUMBERS: Mapping[str, int] = {name: number for number, name in enumerate(_NAMES, start=1)}
"""PackTags 3.0."""
PACKML_STATES: Mapping[str, str] = {
    **dict.fromkeys(("Execute", "Completing"), "executing"),
    **dict.fromkeys(("Aborting", "Aborted"), "fault"),
    **dict.fromkeys(("Starting", "Resetting"), "setup"),
    **dict.fromkeys(("Clearing", "Stopped", "Idle", "Stopping", "Complete"), "standby"),
    **dict.fromkeys(("Suspending", "Suspended", "Unsuspending", "Holding", "Held", "Unholding"), "standby"),
}
"""For servers that number the names in their own way."""
_SURE = frozenset({"Execute", "Stopped", "Aborted"})
"""An enumeration with these names is PackML's."""


def states(root: Node) -> tuple[StateFound, ...]:
    """Every state of a machine in the tree."""
    found = [each for _, above, node in root.walk() if not node.seen for each in _of(node, above)]
    by_address = {each.address: each for each in reversed(found)}
    return tuple(each for each in found if by_address[each.address] is each)


def _of(node: Node, above: tuple[Node, ...]) -> Iterator[StateFound]:
    if _is_item_state(node):
        yield from _item_state(node, above)
    elif node.namespace == PACKML and node.name == "ExecuteState":
        yield from _execute_state(node, above)
    elif node.variable and guess_kind(node) in ("state", "gauge", "counter") and node.count == 1:
        yield from _packtag(node, above)


def _is_item_state(node: Node) -> bool:
    named = node.namespace == MACHINERY and node.name == "MachineryItemState"
    return not node.variable and (named or node.definition == _ITEM_STATE_TYPE)


def _item_state(node: Node, above: tuple[Node, ...]) -> Iterator[StateFound]:
    number = _number(node)
    if number is not None:
        machine = _machine(above, "MachineryBuildingBlocks", "Monitoring", "Status")
        yield StateFound(machine=machine, address=number.address, type=number.type, preset="machinery")


def _execute_state(node: Node, above: tuple[Node, ...]) -> Iterator[StateFound]:
    number = _number(node)
    if number is not None:
        note = "while the machine is stopped or aborted the server gives no number here, and the state is unknown"
        machine = _machine(above, "BaseStateMachine", "MachineState")
        yield StateFound(machine=machine, address=number.address, type=number.type, preset="packml", note=note)


def _packtag(node: Node, above: tuple[Node, ...]) -> Iterator[StateFound]:
    by_name = {name: number for number, name in node.names.items()}
    if by_name.keys() >= _SURE:
        known = {name: number for name, number in by_name.items() if name in PACKML_NUMBERS}
        if all(PACKML_NUMBERS[name] == number for name, number in known.items()):
            yield StateFound(machine=_machine(above, "Status"), address=node.address, type=node.type, preset="packml")
        else:
            numbered = {str(number): PACKML_STATES[name] for name, number in sorted(known.items(), key=lambda e: e[1])}
            note = "PackML's states with numbers of its own"
            yield StateFound(
                machine=_machine(above, "Status"), address=node.address, type=node.type, map=numbered, note=note
            )
    elif node.name in ("StateCurrent", "Status.StateCurrent") and not node.names and "int" in node.type:
        note = "PackTags by its name: see that Execute is 6 in this machine"
        yield StateFound(
            machine=_machine(above, "Status"), address=node.address, type=node.type, preset="packml", note=note
        )


def _number(machine: Node) -> Node | None:
    """The number of a state machine's current state, where it tells one that can be read."""
    current = machine.child("CurrentState")
    number = current.child("Number") if current is not None else None
    return number if number is not None and guess_kind(number) else None


def _machine(above: tuple[Node, ...], *inner: str) -> str:
    """The nearest node above that is not merely a part of the standard's structure."""
    return next((node.name for node in reversed(above) if node.name not in inner), "")
