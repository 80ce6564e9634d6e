"""The plant as a process: Modbus TCP, Modbus RTU on a pseudo-terminal, and the file of what is true."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[3]
ENOUGH_S = 60.0


class Running(NamedTuple):
    process: subprocess.Popen[str]
    port: int
    link: Path
    truth: Path


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Running]:
    link, truth = tmp_path / "compressor", tmp_path / "truth.jsonl"
    command = [sys.executable, "-m", "scripts.sandbox.plant", "--tcp-port", "0", "--speed", "50"]
    command += ["--rtu-link", str(link), "--truth", str(truth), "--seed", "3"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        found = re.search(r"127\.0\.0\.1:(\d+)", process.stdout.readline())
        assert found
        yield Running(process, int(found[1]), link, truth)
    finally:
        process.kill()
        process.communicate()


def ask_tcp(port: int, unit: int, function: int, address: int, count: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), ENOUGH_S) as connection:
        connection.sendall(struct.pack(">HHHBBHH", 7, 0, 6, unit, function, address, count))
        answer = connection.recv(300)
    assert struct.unpack(">HHHB", answer[:7]) == (7, 0, len(answer) - 6, unit)
    return answer[7:]


def crc16(data: bytes) -> bytes:
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return struct.pack("<H", crc)


def ask_rtu(link: Path, unit: int, function: int, address: int, count: int, expected: int) -> bytes:
    port = os.open(link, os.O_RDWR | os.O_NOCTTY)
    try:
        request = struct.pack(">BBHH", unit, function, address, count)
        os.write(port, request + crc16(request))
        answer = b""
        while len(answer) < expected and select.select([port], [], [], ENOUGH_S)[0]:
            answer += os.read(port, 300)
    finally:
        os.close(port)
    assert crc16(answer[:-2]) == answer[-2:]
    return answer[:-2]


def test_units_answer_over_tcp_and_rtu(plant: Running) -> None:
    assert ask_tcp(plant.port, 1, 3, 20, 8) == b"\x03\x10GF-P160-00017\0\0\0"
    (volts,) = struct.unpack(">f", ask_tcp(plant.port, 2, 3, 0x2006, 2)[2:])
    assert 2250 < volts < 2350
    assert ask_tcp(plant.port, 1, 3, 14, 2) == b"\x83\x02"
    assert ask_tcp(plant.port, 1, 6, 0, 5) == b"\x86\x01"
    began = time.monotonic()
    answer = ask_rtu(plant.link, 3, 4, 0, 4, expected=13)
    assert time.monotonic() - began >= 21 * 11 / 9600, "faster than the wire"
    assert answer[:3] == b"\x03\x04\x08"
    pressure, temperature, load, state = struct.unpack(">HhHH", answer[3:])
    assert 660 < pressure < 760
    assert (temperature > 500, load in (22, 100), state in (1, 2)) == (True, True, True)


def test_truth_file_says_what_the_registers_say(plant: Running) -> None:
    end = time.monotonic() + ENOUGH_S
    while time.monotonic() < end:
        (total,) = struct.unpack(">I", ask_tcp(plant.port, 1, 3, 2, 2)[2:])
        if total > 184_330:
            break
    plant.process.send_signal(signal.SIGTERM)
    assert plant.process.wait(ENOUGH_S) == 0
    assert not plant.link.is_symlink()
    records = [json.loads(line) for line in plant.truth.read_text().splitlines()]
    assert records[0]["event"] == "start"
    assert records[-1]["event"] == "end"
    assert records[-1]["total"] >= total
    assert total in {record["total"] for record in records if record["event"] == "cycle"}
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["time"]) for record in records)


def test_port_in_use_is_said_in_one_line(plant: Running) -> None:
    command = [sys.executable, "-m", "scripts.sandbox.plant", "--tcp-port", str(plant.port)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=ENOUGH_S, check=False)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert str(plant.port) in done.stderr
