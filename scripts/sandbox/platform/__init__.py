"""The reference platform: implements the published contract on aiohttp and SQLite, for the demo and the tests.

It verifies everything that the contract asks for and trusts nothing it is sent. It is no production
service: one process, one database file, and pages that anyone on this machine may read, and nobody else.
"""

from __future__ import annotations

from importlib.util import find_spec

if find_spec("jsonschema") is None or find_spec("aiohttp") is None:
    raise SystemExit("the reference platform needs jsonschema and aiohttp → pip install jsonschema aiohttp")

from scripts.sandbox.platform.app import PLATFORM, RunningPlatform, create_app, serve
from scripts.sandbox.platform.faults import FAULT_KINDS, Faults
from scripts.sandbox.platform.service import Platform, Settings

__all__ = ["FAULT_KINDS", "PLATFORM", "Faults", "Platform", "RunningPlatform", "Settings", "create_app", "serve"]
