"""Keys stay private, signatures hold over exact bytes, and a chain shows every alteration."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.jwk import OKPKey

from agent.errors import GongfuError
from agent.evidence.chain import GENESIS, digest_hash
from agent.evidence.identity import Identity
from agent.evidence.verify import verdicts, verify_paths


def write_chain(
    folder: Path, identity: Identity, count: int, *, after: tuple[int, str] = (0, GENESIS), **more: str
) -> Path:
    """A folder of ``count`` signed, chained digests behind ``after`` and the keys; returns the keys' path.

    ``more``: further members of their headers.
    """
    first, previous = after
    for seq in range(first + 1, first + count + 1):
        body = json.dumps({"header": {"seq": seq, "previous": previous, **more}, "n": seq}).encode()
        (folder / f"{seq}.json").write_bytes(body)
        (folder / f"{seq}.json.jws").write_text(identity.sign_detached(body))
        previous = digest_hash(body)
    keys = folder / "keys.jwks"
    keys.write_text(json.dumps(identity.public_jwks()))
    return keys


def problems(folder: Path, keys: Path) -> dict[int | None, str]:
    return {result.seq: result.problem for result in verify_paths([folder], keys) if not result.ok}


def test_the_key_is_made_once_and_private(tmp_path: Path) -> None:
    identity = Identity.load_or_create(tmp_path / "identity")
    key = tmp_path / "identity" / "key.json"
    assert key.stat().st_mode & 0o777 == 0o600
    assert Identity.load_or_create(tmp_path / "identity").gateway_id == identity.gateway_id == identity.own_id
    assert "d" not in identity.public_jwk() and "d" in json.loads(key.read_bytes())


def test_a_key_readable_by_others_is_closed_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Identity.load_or_create(tmp_path)
    (tmp_path / "key.json").chmod(0o644)
    with caplog.at_level(logging.WARNING):
        Identity.load_or_create(tmp_path)
    assert (tmp_path / "key.json").stat().st_mode & 0o777 == 0o600 and "readable by others" in caplog.text


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\x00", b'{"kty":"OKP","crv":"Ed25519","x":"AA"}'])
def test_a_damaged_key_is_an_error_and_never_replaced(tmp_path: Path, content: bytes) -> None:
    Identity.load_or_create(tmp_path)
    (tmp_path / "key.json").write_bytes(content)
    with pytest.raises(GongfuError, match=r"key\.json is damaged") as caught:
        Identity.load_or_create(tmp_path)
    assert caught.value.remedy and (tmp_path / "key.json").read_bytes() == content


def test_enrolment_is_kept_and_seen_by_a_running_agent(tmp_path: Path) -> None:
    running, enrolling = Identity.load_or_create(tmp_path), Identity.load_or_create(tmp_path)
    assert not running.refresh()
    enrolling.save_enrolment("plant-7", "https://p/api/v1", {"keys": []})
    assert running.refresh() and running.gateway_id == "plant-7" and running.own_id != "plant-7"


def test_tokens_name_the_gateway_and_live_for_less_than_five_minutes(tmp_path: Path) -> None:
    identity = Identity.load_or_create(tmp_path)
    key = OKPKey.import_key(identity.public_jwk())
    first, second = (jwt.decode(identity.token("https://p", 1000), key, algorithms=["EdDSA"]) for _ in range(2))
    assert first.claims["iss"] == first.claims["sub"] == identity.gateway_id
    assert first.claims["aud"] == "https://p" and 0 < first.claims["exp"] - 1000 <= 300
    assert first.claims["jti"] != second.claims["jti"]


def test_a_whole_chain_verifies_and_every_alteration_is_found(tmp_path: Path) -> None:
    identity = Identity.load_or_create(tmp_path / "identity")
    folder = tmp_path / "out"
    folder.mkdir()
    keys = write_chain(folder, identity, 12)
    assert problems(folder, keys) == {} and len(verify_paths([folder], keys)) == 12

    body = (folder / "5.json").read_bytes()
    (folder / "5.json").write_bytes(body.replace(b'"n": 5', b'"n": 6'))
    found = problems(folder, keys)
    assert "signature" in found[5] and "altered" in found[6] and len(found) == 2
    (folder / "5.json").write_bytes(body)

    (folder / "7.json").unlink()
    (folder / "8.json").unlink()
    assert problems(folder, keys) == {9: "gap in the sequence: 7 to 8 missing"}


def test_a_foreign_key_and_a_missing_signature_fail(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    keys = write_chain(folder, Identity.load_or_create(tmp_path / "a"), 2)
    (folder / "2.json.jws").unlink()
    assert set(problems(folder, keys)) == {2}
    keys.write_text(json.dumps(Identity.load_or_create(tmp_path / "b").public_jwks()))
    assert set(problems(folder, keys)) == {1, 2}
    with pytest.raises(GongfuError):
        verify_paths([tmp_path / "nothing"], keys)
    keys.write_text("{}")
    with pytest.raises(GongfuError):
        verify_paths([folder], keys)


def test_an_enrolled_gateway_whose_key_is_gone_gets_no_other(tmp_path: Path) -> None:
    Identity.load_or_create(tmp_path).save_enrolment("plant-7", "https://p", {"keys": []})
    (tmp_path / "key.json").unlink()
    with pytest.raises(GongfuError, match="was enrolled with it") as caught:
        Identity.load_or_create(tmp_path)
    assert caught.value.remedy and not (tmp_path / "key.json").exists()


def test_the_agent_and_enroll_starting_together_make_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: Identity.load_or_create(tmp_path / "identity").own_id, range(16)))
    assert len(set(made)) == 1


def test_a_digest_of_many_tags_verifies(tmp_path: Path) -> None:
    """JOSE libraries bound what a token may hold; a digest of 10,000 tags is longer than that."""
    identity = Identity.load_or_create(tmp_path / "identity")
    keys = write_chain(tmp_path, identity, 1)
    body = json.dumps({"header": {"seq": 1, "previous": GENESIS}, "tags": ["x" * 1000] * 3000}).encode()
    (tmp_path / "1.json").write_bytes(body)
    (tmp_path / "1.json.jws").write_text(identity.sign_detached(body))
    assert problems(tmp_path, keys) == {} and len(body) > 3_000_000


def test_swapped_names_attached_and_unsigned_algorithms_fail(tmp_path: Path) -> None:
    identity = Identity.load_or_create(tmp_path / "identity")
    keys = write_chain(tmp_path, identity, 3)
    for suffix in ("json", "json.jws"):
        (tmp_path / f"2.{suffix}").rename(tmp_path / f"9.{suffix}")
    assert "name does not say" in problems(tmp_path, keys)[2]
    head, _, signature = (tmp_path / "1.json.jws").read_text().split(".")
    (tmp_path / "1.json.jws").write_text(f"{head}.e30.{signature}")
    assert "signature" in problems(tmp_path, keys)[1]
    (tmp_path / "1.json.jws").write_text("eyJhbGciOiJub25lIn0..")
    assert "signature" in problems(tmp_path, keys)[1]


def test_chains_of_several_gateways_and_audiences_have_a_verdict_each(tmp_path: Path) -> None:
    keys = []
    for name in ("a", "b"):
        folder, identity = tmp_path / name, Identity.load_or_create(tmp_path / f"{name}-identity")
        folder.mkdir()
        keys.append(write_chain(folder, identity, 4, gateway=f"plant-{name}"))
    park = tmp_path / "a" / "park"
    park.mkdir()
    write_chain(park, Identity.load_or_create(tmp_path / "a-identity"), 2, gateway="plant-a", audience="park")
    paths = [tmp_path / "a", tmp_path / "b", tmp_path / "b" / "2.json"]  # one file twice
    results = verify_paths(paths, *keys)
    assert len(results) == 10 and all(result.ok for result in results)
    assert sorted(verdicts(results)) == [
        "plant-a for park: digests 1 to 2: ok", "plant-a: digests 1 to 4: ok", "plant-b: digests 1 to 4: ok",
    ]  # fmt: skip
    (tmp_path / "b" / "3.json").unlink()
    body = (park / "1.json").read_bytes()
    (park / "1.json").write_bytes(body.replace(b'"n": 1', b'"n": 7'))
    found = verdicts(verify_paths([tmp_path / "a", tmp_path / "b"], *keys))
    assert sorted(found) == [
        "plant-a for park: digests 1 to 2: FAILED: 2 of 2", "plant-a: digests 1 to 4: ok",
        "plant-b: digests 1 to 4: FAILED: 1 of 3",
    ]  # fmt: skip


def test_a_chain_goes_on_under_the_name_that_enrolment_gave(tmp_path: Path) -> None:
    identity = Identity.load_or_create(tmp_path / "identity")
    keys = write_chain(tmp_path, identity, 2, gateway=identity.own_id)
    before = (tmp_path / "2.json").read_bytes()
    (tmp_path / "later").mkdir()  # and in two folders
    write_chain(tmp_path / "later", identity, 2, gateway="plant-7", after=(2, digest_hash(before)))
    results = verify_paths([tmp_path], keys)
    assert verdicts(results) == ["plant-7: digests 1 to 4: ok"]


def test_two_chains_that_nothing_else_tells_apart_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    identity = Identity.load_or_create(tmp_path / "identity")
    for name in ("own", "other"):
        (tmp_path / name).mkdir()
        keys = write_chain(tmp_path / name, identity, 3, note=name)
    found = verdicts(verify_paths([tmp_path], keys))
    assert len(found) == 2 and all(line.endswith("digests 1 to 3: ok") for line in found)


@pytest.mark.parametrize("seq", ["1e999", "-1", "1.5", "true", "9" * 5000, '"²"', "[1]", "null"])
def test_c_a_number_that_is_none_is_one_clear_line(tmp_path: Path, seq: str) -> None:
    keys = write_chain(tmp_path, Identity.load_or_create(tmp_path / "identity"), 2)
    body = f'{{"header": {{"seq": {seq}, "previous": "{GENESIS}"}}}}'
    (tmp_path / "3.json").write_text(body)
    (tmp_path / "².json").write_text(body)  # no digest by its name; verified where it is named
    assert next(each.problem for each in verify_paths([tmp_path], keys) if not each.ok).startswith("not a digest")
    (found,) = verify_paths([tmp_path / "².json"], keys)
    assert found.problem.startswith("not a digest") and "\n" not in found.line()
