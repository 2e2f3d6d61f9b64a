"""Files that appear whole or not at all."""
import pytest

from gluon_bof.errors import UserError
from gluon_bof.files import output_path, refuse_unwritable, write_atomically


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "kept"
    write_atomically(path, b"old")
    with pytest.raises(UserError, match="cannot be written"):
        write_atomically(tmp_path / "missing" / "file", b"new")
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize("path", ("", "new/", "./"))
def test_a_path_that_names_no_file_is_refused_before_the_work(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no file can be written there"):
        refuse_unwritable(path)
    with pytest.raises(UserError, match="no file can be written there"):
        output_path(path, endings=("-symbol.json",))


def test_a_file_that_is_read_is_not_to_be_replaced_whatever_its_path_says(tmp_path):
    (tmp_path / "read").write_text("mine")
    (tmp_path / "link").symlink_to("read")
    refuse_unwritable(str(tmp_path / "new"), reads=(str(tmp_path / "read"), str(tmp_path / "new"), "cat,dog", "", None))
    for path in ("read", "link", "./read"):
        with pytest.raises(UserError, match="the command reads this file, which would be replaced; give another name"):
            refuse_unwritable(f"{tmp_path}/{path}", reads=("cat,dog", None, str(tmp_path / "read")))
