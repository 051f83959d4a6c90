"""`zoo eval`, `zoo predict`, `zoo explain`, `zoo report`: what is done with a run. Roof."""

from __future__ import annotations

import io
from csv import writer as csv_writer
from pathlib import Path
from typing import Annotated, Any

import typer

from zoo.cli.options import Checkpoint, DataDir, Device, Out
from zoo.cli.session import Session
from zoo.columns import in_columns
from zoo.diagnostics import percent
from zoo.errors import UnreadableImagesError, UsageError

RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="A run folder, one of its checkpoints, or a recipe's name: its latest run.")
]
RunsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN",
        help="A run folder, one of its checkpoints, or a recipe's name: its latest run; of several, or of a folder of "
        "runs, the probabilities are averaged.",
    ),
]


def evaluate(
    session: Session,
    runs: RunsArgument,
    checkpoint: Checkpoint = None,
    tta: Annotated[
        str | None, typer.Option("--tta", metavar="none|flip|flip_translate", help="Default: as trained.")
    ] = None,
    device: Device = "auto",
    data_dir: DataDir = None,
) -> None:
    """Test a run, or the mean of several: loss, accuracy, accuracy class by class."""
    from zoo.assemble.ensembles import evaluate_runs

    found = evaluate_runs(runs, checkpoint=checkpoint, tta=tta, device=device, data_dir=data_dir)
    lines = in_columns([(name, percent(value)) for name, value in found["per_class"].items()])
    lines.append(_also(found))
    members = found.get("members", [])
    lines += in_columns([(member["run"], _tested("loss", member["loss"], member)) for member in members])
    what, loss = ("cross-entropy", "cross_entropy") if members else ("loss", "loss")
    lines.append("mean of them: " * bool(members) + _tested(what, found[loss], found))
    if found.get("accuracy_tta") is not None:
        lines.append(f"accuracy with TTA {percent(found['accuracy_tta'])}")
    session.show(found, "\n".join(lines))


def _tested(what: str, loss: float, found: dict[str, Any]) -> str:
    """Loss and accuracy with its interval, in a line."""
    low, high = (f"{100 * bound:.2f}" for bound in found["accuracy_interval"])
    return f"{what} {loss:.4f}, accuracy {percent(found['accuracy'])} (95 % interval {low} to {high} %)"


def _also(found: dict[str, Any]) -> str:
    """The further figures of a test, in a line."""
    named = {"top-5 accuracy": "accuracy_top5", "macro F1": "macro_f1", "calibration error": "calibration_error"}
    return ", ".join(f"{what} {percent(found[key])}" for what, key in named.items() if found[key] is not None)


def predict(
    session: Session,
    run: RunArgument,
    words: Annotated[
        list[Path],
        typer.Argument(
            metavar="[RUN...] IMAGE",
            help="Image files or folders; of the runs in front of them and the first the probabilities are averaged.",
        ),
    ],
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="How many classes are told.")] = 3,
    csv: Annotated[
        bool, typer.Option("--csv", help="A table on stdout: image, class, probability, and so on.")
    ] = False,
    checkpoint: Checkpoint = None,
    device: Device = "auto",
) -> None:
    """Classify images, by a run or by the mean of several."""
    from zoo.assemble.members import runs_and_images
    from zoo.assemble.trained import predict_images

    if csv and session.as_json:
        raise UsageError("--csv and --json are two forms of the same", help="leave one of them out")
    runs, images = runs_and_images(run, words)
    try:
        found = predict_images(runs, images, top=top, checkpoint=checkpoint, device=device)
    except UnreadableImagesError as error:
        if error.predictions and not session.as_json:  # there the messages are the one document
            session.show(error.predictions, _predictions(error.predictions, csv))
        raise
    session.show(found, _predictions(found, csv))


def _predictions(found: list[dict[str, Any]], as_csv: bool) -> str:
    return _table(found) if as_csv else "\n".join(map(_prediction, found))


def _prediction(item: dict[str, Any]) -> str:
    classes = (f"{each['class']} {percent(each['probability'])}" for each in item["classes"])
    return f"{item['image']}: {', '.join(classes)}"


def _table(found: list[dict[str, Any]]) -> str:
    """The predictions as CSV, the likeliest class first; of the second on, the columns are numbered."""
    numbers = ["", *(f"_{place}" for place in range(2, len(found[0]["classes"]) + 1))]
    rows = [["image", *(f"{name}{number}" for number in numbers for name in ("class", "probability"))]]
    for item in found:
        told = ((each["class"], f"{each['probability']:.6f}") for each in item["classes"])
        rows.append([item["image"], *(value for pair in told for value in pair)])
    text = io.StringIO()
    csv_writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().rstrip("\n")


def explain(
    session: Session,
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN", help="A run, checkpoint, timm:NAME or torchvision:NAME; default: the latest run."
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option("--method", metavar="NAME", help="gradcam, gradcam++, eigencam, ...: see zoo ls methods."),
    ] = None,
    layer: Annotated[
        str | None, typer.Option("--layer", metavar="NAME", help="Default: the last with a map of 4x4 or more.")
    ] = None,
    images: Annotated[
        list[Path] | None,
        typer.Option("--images", metavar="PATH...", help="Image files or folders, all that follow; RUN stands before."),
    ] = None,
    misclassified: Annotated[
        int | None,
        typer.Option("--misclassified", metavar="N", min=1, help="How many wrongly classified test images."),
    ] = None,
    class_name: Annotated[
        str | None, typer.Option("--class", metavar="NAME", help="Explain this class, not the predicted one.")
    ] = None,
    out: Out = None,
    device: Device = "auto",
    data_dir: DataDir = None,
) -> None:
    """Draw class activation maps."""
    from zoo.assemble.explaining import ExplainOptions, explain_target

    options = ExplainOptions(
        method=method,
        layer=layer,
        images=tuple(images or ()),
        misclassified=misclassified,
        class_name=class_name,
        out=out,
        device=device,
        data_dir=data_dir,
    )
    found = explain_target(run, options, session.note)
    session.show(found, "\n".join(found["figures"]))


def report(session: Session, run: RunArgument) -> None:
    """Make a run's report again from what the run recorded."""
    from zoo.assemble.finding import find_run
    from zoo.report import render

    path = str(render(find_run(run), note=session.note))
    session.show({"report": path}, path)
