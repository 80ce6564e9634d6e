"""The one signature algorithm of the contract, and the one place that quiets the library about it."""

from __future__ import annotations

import warnings

from joserfc.errors import SecurityWarning

ALGORITHM = "EdDSA"

# RFC 9864 prefers the name "Ed25519" for the same algorithm, and joserfc warns at each use of the old one.
# The contract says EdDSA, because every JOSE library knows it.
warnings.filterwarnings("ignore", message="EdDSA is deprecated", category=SecurityWarning)
