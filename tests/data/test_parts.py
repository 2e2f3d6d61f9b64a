"""Who validates where no part tells: every fifth image, or a share by a hash of their bytes."""
import os
import shutil

import pytest

from gluon_bof.api import open_dataset
from gluon_bof.commands.check import main as check
from gluon_bof.data.parts import is_held_out
from gluon_bof.data.sets import open_set
from gluon_bof.errors import UserError
from tests.data import layout_files
from tests.data.layout_files import IMAGES, SHARE, assert_is_the_set, stems


@pytest.mark.parametrize("write", layout_files.ONE_PART, ids=["voc", "labelme", "coco", "label studio", "labelimg"])
def test_without_parts_every_fifth_image_validates_or_a_share_by_its_bytes(tmp_path, write):
    write(str(tmp_path))
    assert_is_the_set(open_set(str(tmp_path), None, "train"), list("abcdf"))
    assert_is_the_set(open_set(str(tmp_path), None, "val"), ["e"])
    train, val = (open_set(str(tmp_path), None, role, val_share=0.5) for role in ("train", "val"))
    assert sorted(stems(train) + stems(val)) == list(IMAGES)
    assert_is_the_set(val, SHARE)


@pytest.mark.parametrize("write", layout_files.ONE_PART[:2], ids=["voc", "labelme"])
def test_who_validates_is_told_once_and_again_by_the_next_command(tmp_path, write, capsys):
    """Each part that was opened said it."""
    write(str(tmp_path))
    for words in ([], ["--val-share", "0"]):
        assert check([str(tmp_path), *words]) == 0
        assert capsys.readouterr().err.count("every 5th image validates") == 1


@pytest.mark.parametrize("write", layout_files.ONE_PART[:2], ids=["voc", "labelme"])
def test_who_validates_is_told_by_every_call_from_python(tmp_path, write, caplog):
    """A notebook's second call said nothing."""
    write(str(tmp_path))
    for _ in range(2):
        caplog.clear()
        open_dataset(str(tmp_path))
        assert caplog.text.count("every 5th image validates") == 1


def test_the_same_bytes_never_train_and_validate(tmp_path):
    layout_files.one_folder(str(tmp_path), ".xml", layout_files.of_voc)
    for name in IMAGES:
        for ending in (".jpg", ".xml"):
            shutil.copyfile(tmp_path / f"{name}{ending}", tmp_path / f"again_{name}{ending}")
    train, val = (set(stems(open_set(str(tmp_path), None, role, val_share=0.5))) for role in ("train", "val"))
    assert len(train | val) == 12 and all((f"again_{name}" in val) == (name in val) for name in IMAGES) and train and val


def test_an_image_is_hashed_once_as_long_as_its_file_does_not_change(tmp_path):
    """Both parts read all images."""
    path, before, after = tmp_path / "a.jpg", b"2", b"0"  # which validate, and which do not
    path.write_bytes(before)
    stamp = path.stat()
    assert is_held_out(str(path), 0.5)
    path.write_bytes(after)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert is_held_out(str(path), 0.5)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1))
    assert not is_held_out(str(path), 0.5)


@pytest.mark.parametrize("write", layout_files.ONE_PART, ids=["voc", "labelme", "coco", "label studio", "labelimg"])
def test_fewer_than_five_images_without_parts_have_a_way_out(tmp_path, monkeypatch, write):
    """It said that none of 0 images can be used, or that the split is empty."""
    monkeypatch.setattr(layout_files, "IMAGES", {name: layout_files.IMAGES[name] for name in "abde"})
    write(str(tmp_path))
    with pytest.raises(UserError, match="every 5th image would, of 4; five images are the least, or give --val-share"):
        open_set(str(tmp_path), None, "val")
    assert len(open_set(str(tmp_path), None, "train")) == 4
