"""TensorBoard's events of a run, written in this thread: tensorboardX's SummaryWriter has one of its own, and waits for ever
once a full disk has ended that."""
from __future__ import annotations

import os
import time
from typing import Any

from gluon_bof.errors import UserError


class Events:
    """A new file of events in a folder. Raises UserError where tensorboardX is not installed, and OSError."""

    def __init__(self, folder: str):
        try:
            from tensorboardX.event_file_writer import EventsWriter
        except ImportError:
            raise UserError("--tensorboard: no event writer is installed",
                            remedy="pip install 'gluon_bof[tensorboard]'") from None
        os.makedirs(folder, exist_ok=True)
        self._writer = EventsWriter(os.path.join(folder, "events"))

    def add(self, table: str, row: dict[str, Any]) -> None:
        """The floats of a row, {column: value} with an "iteration", each as TABLE/COLUMN."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.summary import scalar

        for column, value in row.items():
            if isinstance(value, float):
                self._writer.write_event(Event(wall_time=time.time(), step=row["iteration"],
                                               summary=scalar(f"{table}/{column}", value)))
        self._writer.flush()

    def close(self) -> None:
        """End the file."""
        self._writer.close()
