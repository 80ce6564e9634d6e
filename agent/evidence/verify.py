"""Verification of exported digests: signatures, sequence, chain. Needs files and keys, no agent."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from agent.errors import GongfuError
from agent.evidence.algorithm import ALGORITHM
from agent.evidence.chain import GENESIS, digest_hash


@dataclass(frozen=True, slots=True)
class Result:
    """What was found of one digest; ``problem`` is empty when it holds."""

    path: Path
    seq: int | None
    problem: str = ""

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
    seq: int | None
    previous: str
    problem: str


def verify_paths(paths: Iterable[Path], keys: Path) -> list[Result]:
    """Verify ``<seq>.json`` files (and folders of them) with the public keys of a JWKS file.

    One result a digest, in order of ``seq``. Raises GongfuError when the keys or a path cannot be read.
    """
    known = _load_keys(keys)
    reads = sorted((_read(path, known) for path in _digest_files(paths)), key=lambda each: each.seq or 0)
    return _check_chain(reads)


def _check_chain(reads: Sequence[_Read]) -> list[Result]:
    results: list[Result] = []
    before: _Read | None = None
    for read in reads:
        problem = read.problem
        if not problem and read.seq is not None:
            problem = _link_problem(read, before)
        results.append(Result(read.path, read.seq, problem))
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
    files: list[Path] = []
    for path in paths:
        found = [entry for entry in path.glob("*.json") if entry.stem.isdigit()] if path.is_dir() else [path]
        if not found or not found[0].exists():
            raise GongfuError(f"no digest at {path}", remedy="name <seq>.json files, or a folder of them")
        files += found
    return files


def _read(path: Path, keys: Sequence[OKPKey]) -> _Read:
    signature = path.with_name(path.name + ".jws")
    try:
        body = path.read_bytes()
        signed = signature.read_text(encoding="ascii", errors="replace").strip() if signature.exists() else ""
    except OSError as error:
        return _Read(path, b"", None, "", f"cannot be read: {error.strerror}")
    try:
        header = json.loads(body)["header"]
        seq, previous = int(header["seq"]), str(header["previous"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return _Read(path, body, None, "", "not a digest: header.seq or header.previous is missing")
    if path.stem.isdigit() and int(path.stem) != seq:
        return _Read(path, body, seq, previous, f"holds digest {seq}, which its name does not say")
    if not signed:
        return _Read(path, body, seq, previous, f"its signature {signature.name} is missing")
    holds = verify_detached(body, signed, keys)
    return _Read(path, body, seq, previous, "" if holds else "the signature does not match the bytes and keys")


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
        raise GongfuError(
            f"keys {path}: {error}", remedy="name a JWKS file, such as the keys.jwks that digest export writes"
        ) from error
