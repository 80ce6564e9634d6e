"""Why a connection could not be made, in words that say what to do about it."""

from __future__ import annotations

import errno
import ssl

from drivers.contract import DriverError, FailureKind
from drivers.modbus.options import Link
from drivers.quality import Quality


class Refused(Exception):
    """The connection could not be made; the message says why."""

    def __init__(self, message: str, remedy: str, *, held: bool = False) -> None:
        super().__init__(message)
        self.remedy = remedy
        self.held = held


def tls_context(link: Link) -> ssl.SSLContext:
    """The TLS settings of a link; raises :class:`Refused` for unusable files."""
    ca_file, cert_file, key_file, _ = link.tls
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
        if cert_file:
            context.load_cert_chain(cert_file, key_file)
    except (OSError, ValueError) as error:
        raise Refused(f"{link}: cannot use the TLS files ({error})", "check ca_file, cert_file and key_file") from error
    return context


def refused(link: Link, error: BaseException | None) -> Refused:
    """What it means that a connection could not be made."""
    code = getattr(error, "errno", None)
    if link.serial:
        return port_refused(link.host, code, error)
    if isinstance(error, ssl.SSLError):
        return Refused(f"{link}: TLS failed ({error.reason or error})", "check ca_file and server_name")
    if code == errno.ECONNREFUSED:
        return Refused(f"{link} refuses the connection", "check the port, and that Modbus is enabled in the PLC")
    if error is None or isinstance(error, TimeoutError):
        return Refused(f"no connection to {link}: it does not answer", "check cable, power and address")
    return Refused(f"no connection to {link}: {_plain(error)}", "check network, address and name")


def port_refused(path: str, code: int | None, error: BaseException | None) -> Refused:
    """The same for a serial port; ``code`` is the system's error number."""
    if code in (errno.EAGAIN, errno.EBUSY):
        return Refused(f"{path} is in use by another program", f"find it with: sudo fuser -v {path}", held=True)
    if code == errno.ENOENT:
        return Refused(f"{path} does not exist", "plug the converter in; ls /dev/serial/by-id shows what is there")
    if code in (errno.EACCES, errno.EPERM):
        remedy = "sudo usermod -aG dialout gongfu-edge, then restart the service"
        return Refused(f"{path}: permission denied", remedy)
    return Refused(f"{path} cannot be opened: {_plain(error)}", "check that port names a serial port")


def _plain(error: BaseException | None) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split())


class NoConnection(DriverError):
    """A refusal as the framework wants it: it goes away by itself. The message names the link."""

    def __init__(self, message: str, remedy: str, *, held: bool = False) -> None:
        super().__init__(message, kind=FailureKind.TRANSIENT, quality=Quality.CONNECTION, remedy=remedy, held=held)
