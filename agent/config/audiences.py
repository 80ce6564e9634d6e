"""``[[audience]]``: who else gets digests, and that a grant names what there is and nothing that may not leave."""

from __future__ import annotations

import re

from agent.config.checks import check_way, url_fault
from agent.config.model import ALL_EQUIPMENT, OWN_PLATFORM, AudienceSection, FileSection
from agent.config.problems import Place, Problems, did_you_mean, show
from agent.config.relations import TagNames

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
"""As the contract has it: it is part of an address."""


def check_audiences(file: FileSection, names: TagNames, root: Place, problems: Problems) -> None:
    """Note what is wrong with the audiences."""
    seen: dict[str, int] = {}
    for position, audience in enumerate(file.audience):
        place = ((root, "audience"), position)
        if not _NAME.fullmatch(audience.name):
            problems.add(
                (place, "name"), f"{show(audience.name)} is no name", 'small letters and digits, such as "park"'
            )
        elif audience.name in seen:
            message = f"{show(audience.name)} is also the name of audience[{seen[audience.name]}]"
            problems.add((place, "name"), message, "rename one of them")
        seen.setdefault(audience.name, position)
        _check_url(audience, file, place, problems)
        _check_sections(audience, place, problems)
        _check_equipment(audience, file, (place, "equipment"), problems)
        for index, name in enumerate(audience.tags):
            _check_tag(name, file, names, ((place, "tags"), index), problems)


def _check_url(audience: AudienceSection, file: FileSection, place: Place, problems: Problems) -> None:
    if audience.url != OWN_PLATFORM:
        wrong = url_fault(audience.url)
        if wrong:
            remedy = f'{wrong[1]}; or write "{OWN_PLATFORM}" for the one in [platform]'
            problems.add((place, "url"), wrong[0], remedy)
        elif file.platform is not None and audience.url.rstrip("/") == file.platform.url.rstrip("/"):
            problems.add((place, "url"), "is the address in [platform]", f'write "{OWN_PLATFORM}"')
        check_way(audience.proxy, audience.max_bytes_per_day, place, problems)
        return
    if file.platform is None:
        problems.add((place, "url"), "there is no [platform]", "add one, or write the audience's own address")
    for key, default in (("ca_file", ""), ("proxy", ""), ("max_bytes_per_day", 50_000_000)):
        if getattr(audience, key) != default:
            problems.add((place, key), f'is of no use with url = "{OWN_PLATFORM}"', f"set it in [{OWN_PLATFORM}]")


def _check_sections(audience: AudienceSection, place: Place, problems: Problems) -> None:
    if not audience.sections:
        problems.add((place, "sections"), "grants nothing", 'name some, such as ["coverage", "findings"]')
    for section, key, what in (("tags", "tags", "tag"), ("equipment", "equipment", "machine")):
        if section in audience.sections and not getattr(audience, key):
            problems.add((place, key), f"names no {what}", f'name some, or remove "{section}" from sections')
    if audience.tags and "tags" not in audience.sections:
        problems.add((place, "sections"), "does not grant the tags that are named", 'add "tags"')


def _check_equipment(audience: AudienceSection, file: FileSection, place: Place, problems: Problems) -> None:
    machines = [each.name for each in file.equipment]
    for position, name in enumerate(audience.equipment):
        if name == ALL_EQUIPMENT:
            if len(audience.equipment) > 1:
                problems.add(
                    (place, position), f'"{ALL_EQUIPMENT}" stands for all machines', "remove the others, or it"
                )
        elif name not in machines:
            remedy = did_you_mean(name, machines, "add [[equipment]] with that name")
            problems.add((place, position), f"there is no machine {show(name)}", remedy, unresolved=True)


def _check_tag(name: str, file: FileSection, names: TagNames, place: Place, problems: Problems) -> None:
    if names.find(name, place, problems, arrays=True) is None:
        return
    shared = file.digest.share
    if name in shared or name.partition("[")[0] in shared or name in {each.partition("[")[0] for each in shared}:
        return
    message = f"{show(name)} is not in [digest] share, so nobody is told of it"
    problems.add(place, message, did_you_mean(name, shared, "add it there, or remove it here"))
