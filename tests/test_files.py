"""Files and folders that appear whole or not at all."""
import errno
import os
import platform
import shutil
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gluon_bof.errors import UserError
from gluon_bof.files import (
    ABANDONED,
    cache_folder,
    folder_beside,
    numbered_folder,
    output_path,
    read_json,
    refuse_unwritable,
    unfinished_beside,
    whole_folder,
    write_atomically,
    write_text,
)


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    def torn():
        yield b"new"
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "kept"
    write_atomically(path, b"old")
    for place, data, problem in ((tmp_path / "missing" / "file", b"new", "No such file"), (path, torn(), "No space left")):
        with pytest.raises(UserError, match=f"{place}: cannot be written .{problem}"):
            write_atomically(place, data)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["kept"]


def test_a_file_that_two_threads_write_at_once_is_whole_and_neither_is_told_that_it_cannot_be_written(tmp_path):
    """They began it under one name, and the second found nothing there that could take the file's."""
    path, videos, both = tmp_path / "a.json", set(), threading.Barrier(2, timeout=60)

    def of(letter):
        yield letter * 1000
        videos.add(unfinished_beside(str(path), ".mp4"))
        both.wait()
        yield letter * 1000

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda letter: write_atomically(path, of(letter)), (b"a", b"b")))
    assert path.read_bytes() in (b"a" * 2000, b"b" * 2000) and os.listdir(tmp_path) == ["a.json"]
    assert len(videos) == 2


def test_a_text_with_a_name_that_is_no_utf8_is_written_by_escapes(tmp_path):
    with open(write_text(str(tmp_path / "new"), "a.csv", "Köln,caf\udce9.jpg\n"), encoding="utf-8") as file:
        assert file.read() == "Köln,caf\\udce9.jpg\n"


def test_a_numbered_folder_takes_no_number_that_is_taken_and_tells_where_none_can_be_made(tmp_path):
    (tmp_path / "run-001").mkdir()
    (tmp_path / "run-002").write_text("mine")
    assert [numbered_folder(str(tmp_path / "run-")) for _ in range(2)] == [str(tmp_path / f"run-00{number}") for number in (3, 4)]
    assert (tmp_path / "run-004").is_dir()
    with pytest.raises(FileNotFoundError):
        numbered_folder(str(tmp_path / "missing" / "run-"))


def test_a_file_is_kept_through_a_power_cut_before_it_takes_its_name_and_then_its_name(tmp_path, monkeypatch):
    path, waited = tmp_path / "kept", []

    def fsync(descriptor):
        waited.append((os.readlink(f"/proc/self/fd/{descriptor}"), path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    write_atomically(path, [b"of", memoryview(b"two")])
    begun = f"{path}.{platform.node()}-{os.getpid()}.t-{threading.get_native_id()}.part"  # the process is 1 in every container
    assert waited == [(begun, False), (str(tmp_path), True)]
    assert path.read_bytes() == b"oftwo"
    write_atomically(path, b"drawn again", lasting=False)
    assert len(waited) == 2 and path.read_bytes() == b"drawn again"


@pytest.mark.parametrize("path", ("", "new/", "./"))
def test_a_path_that_names_no_file_is_refused_before_the_work(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no file can be written there"):
        refuse_unwritable(path)
    with pytest.raises(UserError, match="no file can be written there"):
        output_path(path, endings=("-symbol.json",))


def test_a_name_that_is_too_long_is_refused_before_the_work(tmp_path):
    path = str(tmp_path / ("a" * 250))
    refuse_unwritable(path)
    for refusal in (lambda: refuse_unwritable(f"{path}.json.z"), lambda: output_path(path, endings=("", "-0000.params"))):
        with pytest.raises(UserError, match="the name is too long; give a shorter one"):
            refusal()


def test_a_file_that_is_read_is_not_to_be_replaced_whatever_its_path_says(tmp_path):
    (tmp_path / "read").write_text("mine")
    (tmp_path / "link").symlink_to("read")
    refuse_unwritable(str(tmp_path / "new"), reads=(str(tmp_path / "read"), str(tmp_path / "new"), "cat,dog", "", None))
    for path in ("read", "link", "./read"):
        with pytest.raises(UserError, match="the command reads this file, which would be replaced; give another name"):
            refuse_unwritable(f"{tmp_path}/{path}", reads=("cat,dog", None, str(tmp_path / "read")))


def test_what_has_a_long_name_is_begun_under_a_shorter_one(tmp_path):
    process = subprocess.Popen(["true"])
    process.wait()
    names = [f"{'long' * 61}.{number}" for number in range(2)]
    with folder_beside(str(tmp_path / names[0])) as first, folder_beside(str(tmp_path / names[1])) as second:
        begun = [os.path.basename(folder).split(f".{platform.node()}")[0] for folder in (first, second)]
        left = Path(first.replace(f"-{os.getpid()}.", f"-{process.pid}."))
        left.mkdir()
    assert begun[0] != begun[1] and os.listdir(tmp_path) == [left.name]
    for name in names:
        write_atomically(tmp_path / name, b"whole")
    with folder_beside(str(tmp_path / names[0])):
        assert not left.exists()
    assert sorted(os.listdir(tmp_path)) == names


@pytest.mark.parametrize("start", (whole_folder, folder_beside))
def test_what_a_killed_process_had_begun_goes_and_what_is_anothers_stays(start, tmp_path):
    """A whole copied set stayed for good."""
    process = subprocess.Popen(["true"])
    process.wait()  # its number is nobody's for now
    mine = f"{platform.node()}-{process.pid}"
    gone = [f"out.{mine}.part", f"out.{mine}.t-12.part", f"out.{mine}.x_1.part", f"out.{mine}.part.{mine}.part"]
    kept = [f"out.{platform.node()}-{os.getppid()}.part", f"out.{mine}.old", f"about.{mine}.part", "out.2019", "out.part",
            f"out.{process.pid}.part", f"out.another-{mine}.part"]
    for name in gone + kept:
        (tmp_path / name / "images").mkdir(parents=True)
    gone.append(f"out.{mine}.part.mp4")
    (tmp_path / gone[-1]).write_text("of a video")
    with start(str(tmp_path / "out")):
        assert {path.name for path in tmp_path.iterdir()} >= set(kept) and not set(gone) & set(os.listdir(tmp_path))
    assert set(os.listdir(tmp_path)) - {"out"} == set(kept)


def test_what_a_process_of_the_same_number_left_long_ago_goes_and_nothing_that_is_being_filled(tmp_path):
    """In a container it is always 1: the next one ended in a FileExistsError, then each killed one left a whole set."""
    mine = f"{platform.node()}-{os.getpid()}"
    left, filled, long_ago = tmp_path / f"out.{mine}.part", tmp_path / f"out.{mine}.x_1.part", time.time() - 2 * ABANDONED
    for folder in (left, filled):
        (folder / "images").mkdir(parents=True)
        (folder / "images" / "a.jpg").write_bytes(b"half")
    for path in (left / "images" / "a.jpg", left / "images", left, filled / "images", filled):
        os.utime(path, (long_ago, long_ago))
    with whole_folder(str(tmp_path / "out")) as unfinished:
        Path(unfinished, "a.txt").write_text("mine")
        with folder_beside(str(tmp_path / "out")):  # of another thread
            assert len(os.listdir(tmp_path)) == 3
    shutil.rmtree(filled)
    assert os.listdir(tmp_path) == ["out"] and os.listdir(tmp_path / "out") == ["a.txt"]
    (tmp_path / "plain").mkdir()
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_place_behind_a_link_is_where_the_system_finds_it(tmp_path):
    """What was meant for elsewhere/new/out was begun in a folder made for it here, could not be renamed and was lost."""
    (tmp_path / "elsewhere" / "below").mkdir(parents=True)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "link").symlink_to(tmp_path / "elsewhere" / "below")
    with whole_folder(f"{tmp_path}/here/link/../new/out/") as unfinished:
        Path(unfinished, "a.txt").write_text("mine")
    refuse_unwritable(f"{tmp_path}/here/link/../new/a.json")
    assert os.listdir(tmp_path / "here") == ["link"] and os.listdir(tmp_path / "elsewhere" / "new" / "out") == ["a.txt"]


def test_a_folder_that_is_filled_meanwhile_is_told_as_one_that_was_there(tmp_path):
    """The slower of two was told of a folder .part that is "not empty"."""
    filled = tmp_path / "out" / "theirs"
    with pytest.raises(UserError, match="there is something already; give a new folder") as error:
        with whole_folder(str(filled.parent)):
            filled.parent.mkdir()
            filled.write_text("theirs")
    assert error.value.path == str(filled.parent) and filled.exists() and os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("data", [b"", b"\0", b'{"a": 1', b"\xff\xfe[\0]\0", b"[" * 100_000, b"9" * 5000, b"[1]"])
def test_json_that_is_damaged_is_told_in_the_callers_words(data, tmp_path):
    """Lists without end were a RecursionError in five readers."""
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(UserError, match="a.json: it is torn; mend it$"):
        read_json(str(tmp_path / "a.json"), "it is torn", "mend it", lambda content: isinstance(content, dict))


def test_the_cache_is_where_the_user_says(monkeypatch):
    monkeypatch.setenv("GLUON_BOF_CACHE", "/somewhere")
    assert cache_folder() == "/somewhere"
    monkeypatch.setenv("GLUON_BOF_CACHE", "~/drawn")
    assert cache_folder() == os.path.expanduser("~/drawn")
    monkeypatch.setenv("GLUON_BOF_CACHE", "~nobody-here/drawn")  # and so without HOME, under a number that has no account
    with pytest.raises(UserError, match="set HOME or GLUON_BOF_CACHE"):
        cache_folder()
    monkeypatch.delenv("GLUON_BOF_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert cache_folder() == os.path.join("/cache", "gluon_bof")
