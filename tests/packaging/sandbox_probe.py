"""Run in the unit's sandbox by ``nspawn_check``: what the agent must and must not be able to do there."""

from __future__ import annotations

import ctypes
import mmap
import os
import socket
import sys
import time
from pathlib import Path

failures: list[str] = []


def check(what: str, true: bool) -> None:
    if not true:
        failures.append(what)


def refused(path: str) -> bool:
    try:
        Path(path).write_text("x")
    except OSError:
        return True
    return False


def socket_refused(family: int, kind: int) -> bool:
    try:
        socket.socket(family, kind).close()
    except OSError:
        return True
    return False


def clock_refused() -> bool:
    try:
        time.clock_settime(time.CLOCK_REALTIME, time.time())
    except PermissionError:
        return True
    return False


def executable_memory_refused() -> bool:
    try:
        mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()
    except OSError:
        return True
    return False


libc = ctypes.CDLL(None, use_errno=True)
check("asking whether NTP keeps the clock", libc.adjtimex(ctypes.create_string_buffer(1024)) >= 0)
check("setting the clock is refused", clock_refused())
check("memory to write and to execute is refused", executable_memory_refused())
Path("/var/lib/gongfu-edge/probe").write_text("x")
Path("/var/lib/gongfu-edge/probe").unlink()
check("writing the configuration is refused", refused("/etc/gongfu-edge/config.toml"))
check("writing the program is refused", refused("/opt/gongfu-edge/probe"))
check("writing elsewhere is refused", refused("/var/tmp/../log/probe") and refused("/srv/probe"))
check("home directories are out of sight", not os.access("/root", os.R_OK))
check("raw sockets are refused", socket_refused(socket.AF_INET, socket.SOCK_RAW))
check("packet sockets are refused", socket_refused(socket.AF_PACKET, socket.SOCK_DGRAM))
check("other users' processes are out of sight", not Path("/proc/1/cmdline").exists())
check("serial ports' group", any(os.getgrouplist("gongfu-edge", os.getgid())[1:]))
check("no capability", "CapEff:\t0000000000000000" in Path("/proc/self/status").read_text())
check("load and memory are seen", Path("/proc/meminfo").exists() and Path("/proc/loadavg").exists())
sys.exit("; ".join(failures) or None)
