"""The engine: built objects in, events out; checkpoints, the run folder and the listeners that write it. Floor 5."""

from zoo.train.checkpoint import Checkpoint, DamagedCheckpointError, read_checkpoint
from zoo.train.console import ConsoleProgress, Said
from zoo.train.engine import fit
from zoo.train.evaluation import Evaluation, evaluate
from zoo.train.folder import RunFolder
from zoo.train.result import make_result
from zoo.train.runtime import Runtime
from zoo.train.shelf import Shelf
from zoo.train.sinks import Listener, MetricsFile
from zoo.train.tensorboard import TensorBoardFiles
from zoo.train.tracking import Trackers
from zoo.train.training import Averaging, Steps, Training, count_steps

__all__ = [
    "Averaging",
    "Checkpoint",
    "ConsoleProgress",
    "DamagedCheckpointError",
    "Evaluation",
    "Listener",
    "MetricsFile",
    "RunFolder",
    "Runtime",
    "Said",
    "Shelf",
    "Steps",
    "TensorBoardFiles",
    "Trackers",
    "Training",
    "count_steps",
    "evaluate",
    "fit",
    "make_result",
    "read_checkpoint",
]
