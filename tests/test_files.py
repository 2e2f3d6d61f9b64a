"""Files that appear whole or not at all."""
import pytest

from gluon_bof.errors import UserError
from gluon_bof.files import write_atomically


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "kept"
    write_atomically(path, b"old")
    with pytest.raises(UserError, match="cannot be written"):
        write_atomically(tmp_path / "missing" / "file", b"new")
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["kept"]
