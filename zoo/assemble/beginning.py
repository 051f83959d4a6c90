"""What a run writes about itself before it trains: recipe, resolved recipe, architecture, environment. Floor 7."""

from __future__ import annotations

from typing import Any

from zoo.assemble.architecture_copy import architecture_files
from zoo.assemble.build import Built
from zoo.assemble.check import Checked
from zoo.assemble.complete import resolved_document
from zoo.assemble.environment import environment, read_environment
from zoo.assemble.keeping import written_paths
from zoo.assemble.known_data import describe_data, write_known_data
from zoo.assemble.options import RunOptions
from zoo.disk import write_atomically
from zoo.document.writer import write
from zoo.layout import ENVIRONMENT, RECIPE, RESOLVED
from zoo.train import RunFolder


def write_beginning(
    folder: RunFolder,
    checked: Checked,
    built: Built,
    options: RunOptions,
    range_test: dict[str, Any] | None = None,
) -> None:
    """Writes recipe.yaml, resolved.yaml, architecture.yaml, data.json and env.json. Raises EnvironmentFault.

    Of ``options`` env.json keeps what repeating the run needs; ``range_test`` is what it says of the LR range test
    that gave the run its rate.
    """
    resolved = checked.resolved
    write_atomically(folder.path / RECIPE, resolved.text)
    write_atomically(folder.path / RESOLVED, write(resolved_document(checked)))
    for name, text in architecture_files(resolved, built.base.network).items():
        (folder.path / name).parent.mkdir(exist_ok=True)
        write_atomically(folder.path / name, text)
    write_known_data(folder, describe_data(built.dataset, checked.eval_transforms))
    runtime = built.training.runtime
    facts = environment(device=runtime.device, seed=checked.recipe.seed, fingerprint=built.dataset.fingerprint)
    facts["written"] = written_paths(resolved.document)
    facts["options"] = options.surroundings
    facts["parameter_groups"] = list(built.groups)
    facts["choices"] = dict(built.training.choices)
    if built.base.teacher is not None:
        facts["teacher"] = built.base.teacher.as_facts()
    folder_of_data = built.dataset.folder
    facts["data"] = {
        "name": built.dataset.name,
        "found": built.dataset.found,
        "folder": None if folder_of_data is None else str(folder_of_data.absolute()),
    }
    if range_test is not None:
        facts["lr_range_test"] = range_test
    before = read_environment(folder.path)
    if before:  # the run is resumed, perhaps elsewhere: how it began stays there
        facts["began"] = before.get("began", before)
    folder.write_json(ENVIRONMENT, facts)
