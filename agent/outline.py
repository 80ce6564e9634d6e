"""What browsing found, for people, and as lines for the configuration. Pure."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from agent.table import table
from drivers.browsing import Item, StateFound, Tree

_NAME = re.compile(r"[^\w.\-]+")
_LONGEST_NAME = 100


def outline(tree: Tree) -> str:
    """The tree as an indented table."""
    rows = []
    for item in tree.items:
        type_ = item.type if item.count == 1 or not item.type else f"{item.type}[{item.count or ''}]"
        value = f"{item.value} {item.unit}".strip()
        rows.append(("  " * item.depth + item.name, type_, item.access, value, item.place, item.note))
    return table(("NAME", "TYPE", "ACCESS", "VALUE", "NODE", ""), rows)


def proposal(tree: Tree, device: str) -> str:
    """``[[device.tag]]`` entries for all that can be read, and ``[[equipment]]`` for the states."""
    states = {each.address: each for each in tree.states}
    chosen = [(path, item) for path, item in _paths(tree.items) if item.kind and not item.minor]
    chosen += [(path, item) for path, item in _paths(tree.items) if item.minor and item.address in states]
    names = _state_names(tree.states)
    taken = Counter(names.values())
    names |= _names([(path, item.address) for path, item in chosen if item.address not in states], taken)
    parts = [_tag(names[item.address], item, states.get(item.address)) for _, item in chosen]
    machines = _unique((each.machine or device for each in tree.states), Counter())
    parts += [
        _equipment(machine, f"{device}.{names[each.address]}", each)
        for machine, each in zip(machines, tree.states, strict=True)
    ]
    return "\n\n".join(parts)


def equipment(tree: Tree, device: str) -> str:
    """The ``[[equipment]]`` entries alone."""
    names = _state_names(tree.states)
    machines = _unique((each.machine or device for each in tree.states), Counter())
    return "\n\n".join(
        _equipment(machine, f"{device}.{names[each.address]}", each)
        for machine, each in zip(machines, tree.states, strict=True)
    )


def _tag(name: str, item: Item, state: StateFound | None) -> str:
    keys = {"name": _quoted(name), "address": _quoted(item.address), "type": _quoted(item.type)}
    keys["kind"] = _quoted("state" if state is not None and item.kind != "text" else item.kind)
    if item.unit:
        keys["unit"] = _quoted(item.unit)
    if item.count > 1:
        keys["count"] = str(item.count)
    return "\n".join(["[[device.tag]]", *(f"{key} = {value}" for key, value in keys.items())])


def _equipment(name: str, tag: str, state: StateFound) -> str:
    how = f"preset = {_quoted(state.preset)}" if state.preset else f"map = {_inline(state.map or {})}"
    lines = [f"# {line}" for line in state.note.splitlines()]
    return "\n".join([*lines, "[[equipment]]", f"name = {_quoted(name)}", f"state = {{ tag = {_quoted(tag)}, {how} }}"])


def _paths(items: Sequence[Item]) -> Iterable[tuple[tuple[str, ...], Item]]:
    """Each item with the names that lead to it, its own last."""
    above: list[str] = []
    for item in items:
        del above[item.depth :]
        above.append(item.name)
        yield tuple(above), item


def _state_names(states: Sequence[StateFound]) -> dict[str, str]:
    if len(states) == 1:
        return {states[0].address: "state"}
    return dict(
        zip((each.address for each in states), _unique((f"{e.machine}_state" for e in states), Counter()), strict=True)
    )


def _names(found: Sequence[tuple[tuple[str, ...], str]], taken: Counter[str]) -> dict[str, str]:
    """Address → a tag's name: as short as it can be, longer by what leads there where several are equal."""
    length = dict.fromkeys((address for _, address in found), 1)
    paths = {address: path for path, address in found}
    while True:
        names = {address: _tag_name(paths[address][-length[address] :]) for address in length}
        shared = Counter(names.values()) + taken
        longer = [each for each, name in names.items() if shared[name] > 1 and length[each] < len(paths[each])]
        if not longer:
            break
        for address in longer:
            length[address] += 1
    return dict(zip(names, _unique(names.values(), taken), strict=True))


def _unique(names: Iterable[str], taken: Counter[str]) -> list[str]:
    used, found = set(taken), []
    for name in names:
        made, number = _tag_name((name,)), 2
        while made in used:
            made, number = f"{_tag_name((name,))}_{number}", number + 1
        used.add(made)
        found.append(made)
    return found


def _tag_name(path: Sequence[str]) -> str:
    name = ".".join(_NAME.sub("_", part).strip("_") or "x" for part in path)
    return name[-_LONGEST_NAME:].lstrip(".-") or "x"


def _quoted(text: str) -> str:
    """A basic string of TOML."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _inline(values: Mapping[str, str]) -> str:
    return "{ " + ", ".join(f"{_quoted(key)} = {_quoted(value)}" for key, value in values.items()) + " }"
