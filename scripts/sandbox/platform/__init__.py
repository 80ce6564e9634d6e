"""The reference platform: implements the published contract on aiohttp and SQLite, for the demo and the tests.

It verifies everything that the contract asks for and trusts nothing it is sent. It is no production
service: one process, one database file, and pages that anyone on the loopback interface may read.
"""

from __future__ import annotations

from scripts.sandbox.platform.app import PLATFORM, RunningPlatform, create_app, serve
from scripts.sandbox.platform.faults import FAULT_KINDS, Faults
from scripts.sandbox.platform.service import Platform, Settings

__all__ = ["FAULT_KINDS", "PLATFORM", "Faults", "Platform", "RunningPlatform", "Settings", "create_app", "serve"]
