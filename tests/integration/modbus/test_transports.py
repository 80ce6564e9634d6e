"""Every transport, against a server that is not ours; timing on the paced line."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import itertools
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from drivers.contract import DriverError
from drivers.modbus import Options
from scripts.sandbox.modbus_frames import HEALTHY, Reaction, Request
from scripts.sandbox.modbus_net import NetServer
from scripts.sandbox.serial_line import SerialLine
from tests.support.modbus_devices import (
    Bank,
    Device,
    expected,
    foreign_server,
    golden,
    golden_points,
    points,
)
from tests.support.modbus_faults import PATIENT_S, on, to
from tests.support.ports import free_port

TRANSPORTS = ["tcp", "udp", "rtu-over-tcp", "rtu", "ascii"]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_L14_golden_values_from_a_foreign_server(transport: str, tmp_path: Path) -> None:
    cases = golden()
    of, registers = golden_points(cases)
    async with foreign_server(transport, tmp_path, registers) as options, Device(options, of) as device:
        assert await device.read() == [expected(case) for case in cases]
        assert device.faults == []


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_every_table_of_a_foreign_server(transport: str, tmp_path: Path) -> None:
    of = points("holding:1", "input:2", "coil:3", "coil:8", "discrete:5", "discrete:6", "40001", "holding:0.9")
    registers = bytes.fromhex("0200 0011 0022")
    async with foreign_server(transport, tmp_path, registers) as options, Device(options, of) as device:
        assert await device.read() == [0x11, 0x22, 1, 0, 1, 0, 0x200, 1]


async def test_tls_with_the_devices_own_authority(tmp_path: Path) -> None:
    from pymodbus.server import ModbusTlsServer
    from pymodbus.simulator import DataType, SimData, SimDevice

    certificate, key = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    port = free_port()
    unit = SimDevice(1, simdata=[SimData(0, values=[7, 8, 9], datatype=DataType.REGISTERS)])
    server = ModbusTlsServer(unit, sslctx=context, address=("127.0.0.1", port))
    await server.serve_forever(background=True)
    try:
        known = Options(transport="tls", host="127.0.0.1", port=port, ca_file=str(certificate), timeout=PATIENT_S)
        async with Device(known, points("holding:0", "holding:2")) as device:
            assert await device.read() == [7, 9]
        unknown = Device(Options(transport="tls", host="127.0.0.1", port=port, timeout=PATIENT_S), points("holding:0"))
        with pytest.raises(DriverError, match="TLS failed") as caught:
            await unknown.driver.open()
        assert "ca_file" in caught.value.remedy
    finally:
        await server.shutdown()


def self_signed(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "plc")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, secret = folder / "plc.pem", folder / "plc.key"
    certificate.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate, secret


async def test_device_identification() -> None:
    async with NetServer("127.0.0.1", free_port(), {1: Bank(), 2: object()}) as server:  # type: ignore[dict-item]
        async with Device(to(server), points("holding:0")) as device:
            found = await device.driver.identify()
            assert found == {"vendor": "Gongfu", "product_code": "BANK-1", "revision": "2.0"}
        async with Device(to(server, unit=2), points("holding:0")) as device:
            with pytest.raises(DriverError, match="illegal function"):
                await device.driver.identify()


@pytest.mark.parametrize("framer", ["rtu", "ascii"])
async def test_a_paced_line_is_read_in_few_long_requests(framer: str, tmp_path: Path) -> None:
    of = points(*(f"holding:{at}" for at in range(60)), "holding:700", "coil:9", "input:1")
    async with (
        SerialLine(tmp_path / "tty", 115_200, {3: Bank()}, framer) as line,
        Device(on(line, transport=framer, unit=3), of) as device,
    ):
        assert await device.read() == [*range(60), 700, 1, 1]
    assert [(request.function, request.count) for request in line.requests] == [(1, 1), (3, 60), (3, 1), (4, 1)]


async def test_L22_silence_is_kept_between_requests(tmp_path: Path) -> None:
    of = points("holding:0", "holding:500", "holding:1000", "input:0")
    async with SerialLine(tmp_path / "tty", 9600, {1: Bank(), 2: Bank()}) as line:
        shared: dict[object, object] = {}
        one, two = (on(line, baudrate=9600, unit=unit) for unit in (1, 2))
        async with Device(one, of, shared) as first, Device(two, of, shared) as second:
            for _ in range(2):
                await first.read()
                await second.read()
    assert len(line.requests) == 16
    assert line.hurried == 0


async def test_L22_gaps_are_kept_between_requests_and_units() -> None:
    at: list[tuple[int, float]] = []
    bank = Bank()
    async with NetServer("127.0.0.1", free_port(), {1: bank, 2: bank}) as server:

        def note(request: Request) -> Reaction:
            at.append((request.unit, asyncio.get_running_loop().time()))
            return HEALTHY

        server.react = note
        shared: dict[object, object] = {}
        gaps = {"request_gap": "10ms", "unit_gap": "40ms", "max_gap": 0}
        of = points("holding:0", "holding:5", "holding:9")
        one, two = (to(server, unit=unit, **gaps) for unit in (1, 2))
        async with Device(one, of, shared) as first, Device(two, of, shared) as second:
            await first.read()
            await second.read()
    assert [unit for unit, _ in at] == [1, 1, 1, 2, 2, 2]
    for (unit, before), (next_unit, after) in itertools.pairwise(at):
        assert after - before >= (0.010 if unit == next_unit else 0.040) * 0.99
