"""What must hold beyond types: ranges, formats, and sections that refer to one another."""

from __future__ import annotations

from urllib.parse import urlsplit

from agent.config.creditcode import fault
from agent.config.model import EnterpriseSection, FileSection, PlatformSection, Secret
from agent.config.problems import Place, Problems, did_you_mean, show, table_name
from agent.config.units import show_seconds, show_size
from agent.core.loopback import is_loopback

DAY = 86_400
SHORTEST_PERIOD = 5
SHORTEST_FLUSH, LONGEST_FLUSH = 0.1, 600.0
LEAST_BUFFER = 1_000_000


def check_sections(file: FileSection, root: Place, problems: Problems) -> None:
    """Everything but devices and what refers to their tags."""
    _check_gateway(file, (root, "gateway"), problems)
    _check_enterprise(file.enterprise, (root, "enterprise"), problems)
    if file.platform is not None:
        _check_platform(file.platform, (root, "platform"), problems)
    _check_period(file, (root, "digest"), problems)
    _check_buffer(file, (root, "buffer"), problems)
    if not 1 <= file.remote.probation <= DAY:
        message = f"{show_seconds(file.remote.probation)} is out of range"
        problems.add(((root, "remote"), "probation"), message, "from 1s to 1d")
    _check_listen(file.console.listen, ((root, "console"), "listen"), problems)


def _check_gateway(file: FileSection, place: Place, problems: Problems) -> None:
    if not file.gateway.name.strip() or len(file.gateway.name) > 128:
        problems.add((place, "name"), "must have from 1 to 128 characters", 'such as "press-shop-1"')
    if not file.gateway.data_dir or "\0" in file.gateway.data_dir:
        problems.add((place, "data_dir"), "is no folder", 'write "/var/lib/gongfu-edge"')
    _check_timezone(file.gateway.timezone, (place, "timezone"), problems)


def _check_timezone(name: str, place: Place, problems: Problems) -> None:
    from zoneinfo import ZoneInfo, available_timezones

    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError):  # unknown; malformed; a folder of the database
        remedy = did_you_mean(name, available_timezones(), 'such as "Asia/Shanghai"')
        problems.add(place, f"unknown time zone {show(name)}", remedy)


def _check_enterprise(enterprise: EnterpriseSection, place: Place, problems: Problems) -> None:
    _check_code(enterprise.credit_code, (place, "credit_code"), problems)
    for position, chain in enumerate(enterprise.chains):
        here: Place = ((place, "chains"), position)
        _check_code(chain.owner, (here, "owner"), problems)
        if not chain.name.strip():
            problems.add((here, "name"), "is empty", "name the industrial chain")
    district = enterprise.district
    if district and not (len(district) == 6 and district.isascii() and district.isdigit()):
        problems.add((place, "district"), f"{show(district)} is no district code", 'six digits, such as "310109"')
    inventory = enterprise.inventory
    if inventory is None:
        return
    here = (place, "inventory")
    for key in ("production_equipment", "digital"):
        if getattr(inventory, key) < 0:
            problems.add((here, key), "must not be negative", "count the machines")
    if inventory.digital > inventory.production_equipment:
        message = f"{inventory.digital} is more than production_equipment ({inventory.production_equipment})"
        problems.add((here, "digital"), message, "digital equipment is part of the production equipment")
    for position, process in enumerate(inventory.key_processes):
        at: Place = ((here, "key_processes"), position)
        if process.machines < 1:
            problems.add((at, "machines"), "must be at least 1", "count the machines of the key process")
        elif not 0 <= process.nc <= process.machines:
            message = f"{process.nc} is not between 0 and machines ({process.machines})"
            problems.add((at, "nc"), message, "count those of them that are numerically controlled")


def _check_code(code: str, place: Place, problems: Problems) -> None:
    wrong = fault(code) if code else None
    if wrong:
        problems.add(place, f"{show(code)}: {wrong[0]}", wrong[1])


def _check_platform(platform: PlatformSection, place: Place, problems: Problems) -> None:
    wrong = url_fault(platform.url)
    if wrong:
        problems.add((place, "url"), *wrong)
    check_way(platform.proxy, platform.max_bytes_per_day, place, problems)


def check_way(proxy: Secret, max_bytes_per_day: int, place: Place, problems: Problems) -> None:
    """Note what is wrong with how a platform is reached."""
    if proxy and _host(proxy.plain, ("http", "https", "socks5", "socks5h")) is None:
        problems.add((place, "proxy"), "is no address of a proxy", 'such as "http://10.0.0.1:3128"')
    if max_bytes_per_day <= 0:
        table = f"[{table_name(place)}]"
        problems.add((place, "max_bytes_per_day"), "must be more than 0", f"leave out {table} to send nothing")


def url_fault(url: str) -> tuple[str, str] | None:
    """What is wrong with the address of a platform, and the remedy."""
    host = _host(url, ("http", "https"))
    if host is None or "?" in url or "#" in url:
        return "is no address of a platform", 'such as "https://platform.example/api/v1"'
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        return "holds a user name or password", "remove it: the gateway signs its requests with its own key"
    if parts.scheme == "http" and not is_loopback(host):
        return "http:// is for a platform on this machine only", "write https://"
    return None


def _host(url: str, schemes: tuple[str, ...]) -> str | None:
    """The host of a well-formed URL of one of these schemes."""
    if not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
        usable = parts.scheme in schemes and (parts.port is None or parts.port > 0)
        return (parts.hostname or None) if usable else None
    except ValueError:
        return None


def _check_period(file: FileSection, place: Place, problems: Problems) -> None:
    period = file.digest.period
    if period < SHORTEST_PERIOD or DAY % period:
        divisors = _usual_periods()
        below = max((each for each in divisors if each <= period), default=SHORTEST_PERIOD)
        above = min((each for each in divisors if each >= period), default=DAY)
        choice = " or ".join(f'"{show_seconds(each)}"' for each in sorted({below, above}))
        message = f"{show_seconds(period)} does not divide a day evenly"
        if period < SHORTEST_PERIOD:
            message = f"{show_seconds(period)} is too short"
        problems.add((place, "period"), message, f"write {choice}")
    elif not float(period).is_integer():
        message = f"{show_seconds(period)} is no whole number of seconds"
        problems.add((place, "period"), message, f'write "{int(period)}s"')


def _usual_periods() -> list[int]:
    """Seconds that divide a day evenly; whole minutes from one minute on."""
    return [each for each in range(SHORTEST_PERIOD, DAY + 1) if DAY % each == 0 and (each < 60 or each % 60 == 0)]


def _check_buffer(file: FileSection, place: Place, problems: Problems) -> None:
    buffer = file.buffer
    if not SHORTEST_FLUSH <= buffer.flush <= LONGEST_FLUSH:
        problems.add((place, "flush"), f"{show_seconds(buffer.flush)} is out of range", "from 100ms to 10m")
    if buffer.max_size < LEAST_BUFFER:
        problems.add((place, "max_size"), f"{show_size(buffer.max_size)} is too small", 'at least "1MB"')
    if buffer.retention < file.digest.period:
        message = f"{show_seconds(buffer.retention)} is shorter than the period of a digest"
        remedy = f'at least "{show_seconds(file.digest.period)}"; "30d" is usual'
        problems.add((place, "retention"), message, remedy)


def _check_listen(listen: str, place: Place, problems: Problems) -> None:
    if not listen:
        return
    host, colon, port = listen.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    usable = bool(host) and " " not in host and host.isprintable() and (":" not in host or bracketed)
    if not (colon and usable and port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
        remedy = 'write host:port, such as "127.0.0.1:8470" or "[::1]:8470", or "" for no local API'
        problems.add(place, f"{show(listen)} is no host and port", remedy)
