"""Writes an event file with TensorBoard's own messages and record writer, for the
tests of internal/report to equal to the byte.

    python tools/golden/events.py internal/report/testdata/events.golden

Needs tensorboard.
"""
import sys

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.summary.writer.record_writer import RecordWriter

TIME = 1700000000.25


def scalars(step, values):
    value = [Summary.Value(tag=tag, simple_value=v) for tag, v in sorted(values.items())]
    return Event(wall_time=TIME, step=step, summary=Summary(value=value))


def text(tag, markdown):
    tensor = TensorProto(dtype="DT_STRING", string_val=[markdown.encode()],
                         tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)]))
    metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
    return Event(wall_time=TIME, summary=Summary(value=[Summary.Value(tag=tag, metadata=metadata, tensor=tensor)]))


with open(sys.argv[1], "wb") as f:
    writer = RecordWriter(f)
    for event in [
        Event(wall_time=TIME, file_version="brain.Event:2"),
        Event(wall_time=TIME, step=41, session_log=SessionLog(status=SessionLog.START)),
        text("settings", "| lr | 0.1 |\n" * 20),
        scalars(41, {"loss": 2, "val/top1": 2 / 3}),
        scalars(1 << 40, {"loss": float("nan"), "très": -1e30}),
    ]:
        writer.write(event.SerializeToString())
