"""Points become as few items as their nodes and intervals allow."""

from __future__ import annotations

from drivers.contract import Point, PointGroup
from drivers.opcua.columns import Columns
from drivers.opcua.faults import Faults, Refusal
from drivers.opcua.items import batches, compile_items
from drivers.opcua.rows import Binding
from drivers.quality import Quality


def point(index: int, address: str, **more: object) -> Point:
    return Point(index=index, name=f"p{index}", address=address, **more)  # type: ignore[arg-type]


def test_elements_of_an_array_share_an_item_and_other_intervals_do_not() -> None:
    points = [
        point(0, "ns=2;s=A", element=0),
        point(1, "ns=2;s=A", element=1),
        point(2, "index=7;ns=2;s=A"),
        point(3, "ns=2;s=A", interval=5.0),
        point(4, "ns=2;s=B"),
    ]
    made = compile_items(points)
    assert [[each.index for each in item.points] for item in made] == [[0, 1, 2], [3], [4]]
    assert [item.interval for item in made] == [1.0, 5.0, 1.0]


def test_a_deadband_is_in_the_servers_numbers_and_the_smallest_of_those_who_share() -> None:
    points = [
        point(0, "ns=2;s=A", deadband=1.0, scale=-0.1),
        point(1, "ns=2;s=B", deadband=1.0),
        point(2, "ns=2;s=B"),
    ]
    assert [item.deadband for item in compile_items(points)] == [10.0, 0.0]


def test_batches_are_whole_and_in_order() -> None:
    assert [list(part) for part in batches(range(5), 2)] == [[0, 1], [2, 3], [4]]


BAD_NODE, BAD_SENSOR = 0x80340000, 0x808C0000
POINTS = [point(index, f"ns=2;i={index + 1}") for index in range(8)]
ALL = PointGroup(tuple(POINTS), 1.0)


def answered(faults: Faults, statuses: dict[int, int]) -> None:
    columns = Columns.blank(len(POINTS))
    columns.kind[:], columns.value[:] = 11, 1.0
    for handle, status in statuses.items():
        columns.status[handle] = status
    faults.note(columns, Binding([[each] for each in POINTS]).rows(columns))


def test_faults_are_told_by_cause_in_the_same_words_until_they_change() -> None:
    faults = Faults(compile_items(POINTS), {BAD_NODE: "BadNodeIdUnknown", BAD_SENSOR: "BadSensorFailure"}.__getitem__)
    answered(faults, {})
    assert faults.errors(ALL) == ()
    answered(faults, {1: BAD_NODE, 3: BAD_SENSOR, 5: BAD_NODE})
    first = faults.errors(ALL)
    assert [(str(fault), fault.points, fault.quality) for fault in first] == [
        ("p1, p5: BadNodeIdUnknown", (1, 5), Quality.ADDRESS),
        ("p3: BadSensorFailure", (3,), Quality.DEVICE),
    ]
    answered(faults, {1: BAD_NODE, 3: BAD_SENSOR, 5: BAD_NODE})
    assert faults.errors(ALL) is first
    answered(faults, {3: BAD_SENSOR})
    assert [str(fault) for fault in faults.errors(ALL)] == ["p3: BadSensorFailure"]


def test_faults_are_told_to_the_group_that_they_are_about_and_bounded() -> None:
    faults = Faults(compile_items(POINTS), str)
    for handle in range(7):
        faults.refuse(handle, Refusal(Quality.ADDRESS, "no such node", "browse"))
    (fault,) = faults.errors(ALL)
    assert str(fault) == "p0, p1, p2, p3, p4 and 2 more: no such node"
    assert fault.points == tuple(range(7))
    assert faults.errors(PointGroup((POINTS[7],), 1.0)) == ()
