"""D3: a file that cannot be written is one typed error, with what, where and a remedy."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from agent.evidence.files import FileNotWritten, make_folder, write_atomically


@pytest.mark.parametrize("call", ["fsync", "fchmod", "close", "open"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT, errno.EACCES])
def test_d3_a_failing_disk_is_one_typed_error_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old")

    def fails(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fails)
        with pytest.raises(FileNotWritten) as caught:
            write_atomically(path, b"new")
    assert str(path) in str(caught.value) and os.strerror(number) in caught.value.line() and caught.value.remedy
    assert path.read_bytes() in (b"old", b"new")
    assert [each.name for each in tmp_path.iterdir()] == ["f"]


def test_d3_a_folder_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    with pytest.raises(FileNotWritten, match=r"exists|directory"):
        make_folder(tmp_path / "f" / "g")
    with pytest.raises(FileNotWritten) as caught:
        write_atomically(tmp_path / "no" / "f", b"")
    assert caught.value.remedy == "name a folder that exists"
