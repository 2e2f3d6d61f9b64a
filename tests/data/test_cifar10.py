"""CIFAR-10's binary files: planes, order of the files, damaged ones."""
import numpy as np
import pytest

from gluon_bof.data.cifar10 import CLASSES, RECORD, load_cifar10
from gluon_bof.errors import UserError
from tests.cifar10_files import write_cifar10


def test_images_and_classes_come_back_in_the_order_of_the_files(tmp_path):
    images, class_ids = write_cifar10(tmp_path, 6, 4)
    found, ids = load_cifar10("train", str(tmp_path))
    assert np.array_equal(found, images[:30]) and np.array_equal(ids, class_ids[:30])
    tested, test_ids = load_cifar10("val", str(tmp_path))
    assert np.array_equal(tested, images[30:]) and np.array_equal(test_ids, class_ids[30:])


def test_the_red_plane_comes_first(tmp_path):
    write_cifar10(tmp_path, 1, 1)
    record = np.zeros(RECORD, np.uint8)
    record[0], record[1:1025] = 7, 200
    (tmp_path / "test_batch.bin").write_bytes(record.tobytes())
    images, ids = load_cifar10("val", str(tmp_path))
    assert CLASSES[ids[0]] == "horse" and images[0, 5, 9].tolist() == [200, 0, 0]


def test_the_folder_above_does_too(tmp_path):
    images, _ = write_cifar10(tmp_path / "cifar-10-batches-bin", 2, 1)
    assert np.array_equal(load_cifar10("train", str(tmp_path))[0], images[:10])


@pytest.mark.parametrize("damage, told", [(lambda path: path.unlink(), "cannot be read"),
                                          (lambda path: path.write_bytes(b"x" * 100), "no whole number of records"),
                                          (lambda path: path.write_bytes(b""), "no whole number of records"),
                                          (lambda path: path.write_bytes(b"\x0a" * RECORD), "none of CIFAR-10's ten")])
def test_a_damaged_file_is_named(tmp_path, damage, told):
    write_cifar10(tmp_path, 1, 1)
    damage(tmp_path / "data_batch_3.bin")
    with pytest.raises(UserError, match=told) as error:
        load_cifar10("train", str(tmp_path))
    assert error.value.path.endswith("data_batch_3.bin")
