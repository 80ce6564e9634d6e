"""Verification of exported digests: signatures, sequence, chain. Needs files and keys, no agent."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from joserfc.util import urlsafe_b64decode

from agent.errors import GongfuError
from agent.evidence.algorithm import ALGORITHM
from agent.evidence.chain import GENESIS, digest_hash

MOST_DIGITS = 15
"""Of a digest's number."""


@dataclass(frozen=True, slots=True)
class Result:
    """What was found of one digest; ``problem`` is empty when it holds."""

    path: Path
    seq: int | None
    problem: str = ""
    chain: str = ""
    """Which chain it is part of, for people: its gateway, and its audience where it has one."""

    @property
    def ok(self) -> bool:
        """Whether signature, sequence and link hold."""
        return not self.problem

    def line(self) -> str:
        """One line for people."""
        return f"{self.path}: {'ok' if self.ok else 'FAILED: ' + self.problem}"


@dataclass(frozen=True, slots=True)
class _Read:
    path: Path
    body: bytes
    seq: int | None = None
    previous: str = ""
    problem: str = ""
    gateway: str = ""
    audience: str = ""
    signer: str = ""
    """Thumbprint of the key that signed it, or that its signature names."""


def verify_paths(paths: Iterable[Path], *keys: Path) -> list[Result]:
    """Verify ``<seq>.json`` files (and folders of them) with the public keys of JWKS files.

    The files may be of several gateways and audiences: each has a chain of its own. One result a digest,
    chain by chain, in order of ``seq``. Raises GongfuError when the keys or a path cannot be read.
    """
    known = [key for path in keys for key in _load_keys(path)]
    chains = _chains([_read(path, known) for path in _digest_files(paths)])
    return [result for name, reads in chains for result in _check_chain(reads, name)]


def verdicts(results: Iterable[Result]) -> list[str]:
    """One line a chain: which, from where to where, and whether all of it holds."""
    lines = []
    for chain, found in groupby(results, key=lambda result: result.chain):
        each = list(found)
        numbers = [result.seq for result in each if result.seq is not None]
        span = f"digests {numbers[0]} to {numbers[-1]}" if numbers else "no digest"
        failed = sum(not result.ok for result in each)
        lines.append(f"{chain}: {span}: {f'FAILED: {failed} of {len(each)}' if failed else 'ok'}")
    return lines


def _chains(reads: Sequence[_Read]) -> list[tuple[str, list[_Read]]]:
    """The digests of each chain in order, with the chain's name.

    A chain is what one key signed for one audience; a gateway may have got another name when it was
    enrolled. Where one number occurs twice, the folders tell two chains apart.
    """
    signers = {read.gateway: read.signer for read in reads if read.signer and read.gateway}
    chains: dict[tuple[str, str], list[_Read]] = {}
    for read in sorted(reads, key=lambda each: (each.seq or 0, str(each.path))):
        signer = read.signer or signers.get(read.gateway, read.gateway)
        chains.setdefault((signer, read.audience), []).append(read)
    named = []
    for (signer, audience), chain in sorted(chains.items()):
        for folder, part in _by_folder(chain):
            gateway = next((read.gateway for read in reversed(part) if read.gateway), signer or "unknown")
            named.append((" ".join(filter(None, (gateway, audience and f"for {audience}", folder))), part))
    return named


def _by_folder(chain: list[_Read]) -> list[tuple[str, list[_Read]]]:
    folders = {read.path.parent for read in chain}
    numbers = Counter(read.seq for read in chain if read.seq is not None)
    if len(folders) == 1 or max(numbers.values(), default=0) < 2:
        return [("", chain)]
    return [(f"in {each}", [read for read in chain if read.path.parent == each]) for each in sorted(folders)]


def _check_chain(reads: Sequence[_Read], name: str) -> list[Result]:
    results: list[Result] = []
    before: _Read | None = None
    for read in reads:
        problem = read.problem
        if not problem and read.seq is not None:
            problem = _link_problem(read, before)
        results.append(Result(read.path, read.seq, problem, name))
        if read.seq is not None:
            before = read
    return results


def _link_problem(read: _Read, before: _Read | None) -> str:
    if before is None or before.seq is None:
        # A chain may be handed over from its middle; only the first digest has a known predecessor.
        return "the first digest must follow nothing" if read.seq == 1 and read.previous != GENESIS else ""
    if read.seq == before.seq:
        return f"there are two digests {read.seq}: {before.path.name} is another"
    if read.seq != before.seq + 1:
        missing = f"{before.seq + 1}" if read.seq == before.seq + 2 else f"{before.seq + 1} to {(read.seq or 0) - 1}"
        return f"gap in the sequence: {missing} missing"
    if read.previous != digest_hash(before.body):
        return f"does not follow digest {before.seq}: that one was altered, or this one is of another chain"
    return ""


def _digest_files(paths: Iterable[Path]) -> list[Path]:
    files: dict[Path, Path] = {}
    for path in paths:
        found = (
            [entry for entry in path.rglob("*.json") if _number(entry.stem) is not None] if path.is_dir() else [path]
        )
        if not found or not found[0].exists():
            raise GongfuError(f"no digest at {path}", remedy="name <seq>.json files, or a folder of them")
        files |= {each.resolve(): each for each in found}
    return list(files.values())


def _number(text: str) -> int | None:
    """The number of a digest, as it is written; None: it is none."""
    return int(text) if len(text) <= MOST_DIGITS and text.isascii() and text.isdecimal() else None


def _read(path: Path, keys: Sequence[OKPKey]) -> _Read:
    signature = path.with_name(path.name + ".jws")
    try:
        body = path.read_bytes()
        signed = signature.read_text(encoding="ascii", errors="replace").strip() if signature.exists() else ""
    except OSError as error:
        return _Read(path, b"", problem=f"cannot be read: {error.strerror}")
    try:
        header = json.loads(body)["header"]
        seq, previous = _number(str(header["seq"])), str(header["previous"])
        gateway, audience = str(header.get("gateway", "")), str(header.get("audience", ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return _Read(path, body, problem="not a digest: header.seq or header.previous is missing")
    if seq is None:
        return _Read(path, body, problem="not a digest: header.seq is no number of a digest")
    signer = signer_of(body, signed, keys)
    problem = ""
    if _number(path.stem) not in (None, seq):
        problem = f"holds digest {seq}, which its name does not say"
    elif not signed:
        problem = f"its signature {signature.name} is missing"
    elif signer is None:
        problem = "the signature does not match the bytes and keys"
    return _Read(path, body, seq, previous, problem, gateway, audience, signer or _named_signer(signed))


def _named_signer(signature: str) -> str:
    """The key that a signature says it is of; nothing depends on it but which chain a failure is shown in."""
    try:
        return str(json.loads(urlsafe_b64decode(signature.partition(".")[0].encode("ascii"))).get("kid", ""))
    except (ValueError, AttributeError):
        return ""


def signer_of(body: bytes, signature: str, keys: Sequence[OKPKey]) -> str | None:
    """Thumbprint of that of the keys that signed exactly these bytes; None: none did."""
    return next((key.thumbprint() for key in keys if verify_detached(body, signature, [key])), None)


def verify_detached(body: bytes, signature: str, keys: Sequence[OKPKey]) -> bool:
    """Whether one of the keys signed exactly these bytes."""
    if not body or ".." not in signature:
        return False  # an empty middle part is what makes it detached
    for key in keys:
        try:
            # The bytes beside it: within the JWS, joserfc takes no more than 128,000 characters.
            jws.deserialize_compact(signature, key, algorithms=[ALGORITHM], payload=body)
        except (JoseError, ValueError):
            continue
        return True
    return False


def _load_keys(path: Path) -> list[OKPKey]:
    try:
        found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["keys"]
        return [OKPKey.import_key(key) for key in found if key.get("kty") == "OKP"]
    except (OSError, ValueError, KeyError, TypeError, JoseError) as error:
        reason = getattr(error, "strerror", None) or error
        raise GongfuError(
            f"keys {path}: {reason}", remedy="name a JWKS file, such as the keys.jwks that digest export writes"
        ) from error
