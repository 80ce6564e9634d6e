"""States of machines by known standards, recognised in a tree of nodes."""

from __future__ import annotations

from agent.digest.equipment.presets import preset
from drivers.browsing import StateFound
from drivers.opcua.recognise import MACHINERY, PACKML, PACKML_NUMBERS, PACKML_STATES, states
from drivers.opcua.tree import Node

OWN = "urn:maker:machine"
BY_NAME = {number: name for name, number in PACKML_NUMBERS.items()}


def node(name: str, *children: Node, namespace: str = OWN, definition: str = "") -> Node:
    made = Node(f"ns=2;s={name}", f"nsu={OWN};s={name}", name, namespace, definition)
    made.children.extend(children)
    return made


def variable(name: str, type_: str, *children: Node, names: dict[int, str] | None = None) -> Node:
    made = node(name, *children)
    made.variable, made.usable, made.type, made.access, made.names = True, True, type_, "r", names or {}
    return made


def test_a_machinery_item_state_by_its_number() -> None:
    current = variable("CurrentState", "string", variable("Number", "uint32"))
    state = node("MachineryItemState", current, namespace=MACHINERY)
    tree = node("Machines", node("press", node("MachineryBuildingBlocks", state, namespace=MACHINERY)))
    assert states(tree) == (
        StateFound(machine="press", address=f"nsu={OWN};s=Number", type="uint32", preset="machinery"),
    )


def test_a_machinery_item_state_is_known_by_its_type_whatever_its_name() -> None:
    current = variable("CurrentState", "string", variable("Number", "uint32"))
    tree = node("press", node("Zustand", current, definition=f"nsu={MACHINERY};i=1002"))
    (found,) = states(tree)
    assert (found.machine, found.preset) == ("press", "machinery")


def test_a_machinery_item_state_that_is_told_by_its_name_only_is_not_offered() -> None:
    state = node("MachineryItemState", variable("CurrentState", "string"), namespace=MACHINERY)
    assert states(node("press", state)) == ()


def test_packmls_states_mean_the_same_by_number_and_by_name() -> None:
    assert {number: PACKML_STATES[name] for name, number in PACKML_NUMBERS.items()} == dict(preset("packml"))


def test_packtags_by_name_and_by_the_names_of_their_states() -> None:
    (plain,) = states(node("filler", node("Status", variable("StateCurrent", "int32"))))
    assert (plain.machine, plain.preset, bool(plain.note)) == ("filler", "packml", True)
    (named,) = states(node("filler", variable("Zustand", "int32", names=BY_NAME)))
    assert (named.machine, named.preset, named.note) == ("filler", "packml", "")


def test_packml_with_numbers_of_its_own_gets_a_map_and_no_preset() -> None:
    tobacco = {0: "Stopped", 1: "Resetting", 2: "Idle", 4: "Execute", 8: "Aborted"}
    (found,) = states(node("maker", variable("State", "int32", names=tobacco)))
    assert not found.preset
    assert found.map == {"0": "standby", "1": "setup", "2": "standby", "4": "executing", "8": "fault"}


def test_packmls_execute_state_is_offered_with_its_limit() -> None:
    current = variable("CurrentState", "string", variable("Number", "uint32"))
    machine_state = node("MachineState", node("ExecuteState", current, namespace=PACKML), namespace=PACKML)
    (found,) = states(node("filler", node("BaseStateMachine", machine_state, namespace=PACKML)))
    assert (found.machine, found.preset) == ("filler", "packml")
    assert "stopped" in found.note


def test_nothing_is_recognised_by_chance() -> None:
    other = variable("State", "int32", names={0: "Open", 1: "Closed"})
    text = variable("StateCurrent", "string")
    unreadable = variable("StateCurrent", "int32")
    unreadable.access = "-"
    assert states(node("door", other, text, unreadable)) == ()


def test_a_node_that_is_met_twice_is_one_state() -> None:
    current = variable("CurrentState", "string", variable("Number", "uint32"))
    state = node("MachineryItemState", current, namespace=MACHINERY)
    again = node("MachineryItemState", namespace=MACHINERY)
    again.seen = True
    assert len(states(node("top", node("a", state), node("b", again)))) == 1
