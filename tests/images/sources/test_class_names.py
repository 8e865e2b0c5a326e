"""Names of classes by number, a line each."""

from __future__ import annotations

from pathlib import Path

import pytest

from xprobe.base.errors import XprobeError
from xprobe.images.sources.class_names import class_names


def test_the_first_line_is_class_0(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes("\ufeffcat\r\n sea lake \r\nöwl\r\n\r\n".encode())
    assert class_names(tmp_path / "x") == ["cat", "sea lake", "öwl"]


@pytest.mark.parametrize(
    ("text", "said"), [("a\n\nb\n", "line 2: no name"), ("a\nb\na\n", "named twice: a")]
)
def test_a_list_that_shifts_numbers_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "x").write_text(text)
    with pytest.raises(XprobeError, match=said):
        class_names(tmp_path / "x")
    with pytest.raises(XprobeError, match="no such file"):
        class_names(tmp_path / "none")
