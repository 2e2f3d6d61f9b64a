"""TensorBoard's files of a run hold the numbers of its tables."""
import struct
import sys
from pathlib import Path

import pytest

from gluon_bof.errors import UserError
from gluon_bof.runs.opening import create_run


def scalars(folder):
    """[(tag, step, value)] of the TensorBoard files in a folder: records between a length with its checksum and a checksum."""
    from tensorboardX.proto import event_pb2
    found = []
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        while data:
            length, = struct.unpack("<Q", data[:8])
            event = event_pb2.Event.FromString(data[12:12 + length])
            found += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
            data = data[16 + length:]
    return found


def test_tensorboard_has_every_number_of_the_tables_at_its_iteration(options):
    pytest.importorskip("tensorboardX")
    run = create_run(options)
    run.start_logging(tensorboard=True)
    run.record("intervals", {"epoch": 0, "iteration": 3, "loss": 2.5})
    run.record("metrics", {"epoch": 0, "iteration": 6, "map": 0.25, "note": ""})
    run.close()
    assert scalars(Path(run.events)) == [("intervals/loss", 3, 2.5), ("metrics/map", 6, 0.25)]
    assert run.rows("metrics")[0]["map"] == "0.25"


def test_tensorboard_that_is_not_installed_is_one_line(options, monkeypatch):
    for name in ("tensorboardX", "tensorboardX.event_file_writer"):  # the second may be there of another test
        monkeypatch.setitem(sys.modules, name, None)
    run = create_run(options)
    with pytest.raises(UserError, match=r"--tensorboard: no event writer is installed; pip install 'gluon_bof\[tensorboard\]'"):
        run.start_logging(tensorboard=True)
    run.close()
