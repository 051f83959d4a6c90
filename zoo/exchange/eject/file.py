"""The ejected file: docstring, imports, initialisers, classes, the network last. Floor 6."""

from __future__ import annotations

import ast
import inspect
import sys
from math import prod

from zoo.exchange.eject.classes import EjectedClass, classes_of
from zoo.exchange.eject.instances import instances_of
from zoo.exchange.eject.layout import docstring
from zoo.exchange.eject.names import ClassNames, import_lines, reserved_names
from zoo.exchange.eject.settings import Settings, settings_of
from zoo.exchange.eject.writing import class_text, is_torch_init
from zoo.graph import Plan
from zoo.graph.python_text import bound, imported
from zoo.layers import initialisers


def eject(plan: Plan) -> str:
    """A network as Python source that needs PyTorch alone (and torchvision or timm where its layers are theirs).

    State-dict names and their order are those of :func:`zoo.graph.compile_plan`, and with equal weights the outputs
    are equal to the last bit. The last class is the network and takes no arguments.
    """
    root = instances_of(plan)
    classes = classes_of(root, ClassNames(root, plan.name, reserved_names(plan)))
    settings = settings_of(root, classes)
    texts = [class_text(cls, settings, _about(plan, cls)) for cls in classes.ordered]
    body = "\n\n\n".join([*_functions(settings), *texts])
    return "\n".join([docstring(_headline(plan), 0), "", *_imports(plan, body), "", "", body, ""])


def _headline(plan: Plan) -> list[str]:
    counts = [spec for _, step in plan.walk() for spec in step.parameters if not spec.is_buffer]
    total = sum(prod(spec.shape) for spec in counts)
    trainable = sum(prod(spec.shape) for spec in counts if spec.trainable)
    numbers = f"{total:,} parameters" + (f", {trainable:,} of them trainable" if trainable < total else "") + "."
    source = ", ".join(str(value) for value in plan.source.values() if value)
    if f"{total:,} parameters" in plan.doc:
        numbers = ""
    return [f"{plan.name}: {plan.doc}" if plan.doc else plan.name, f"Source: {source}" if source else "", numbers]


def _about(plan: Plan, cls: EjectedClass) -> list[str] | None:
    """The network's docstring; None for any other class."""
    if cls.pattern.call is not None:
        return None
    return [plan.doc or plan.name]


def _functions(settings: Settings) -> list[str]:
    """The source of the initialisers that are not PyTorch's own."""
    said = {each.init[0] for found in settings.of.values() for each in found if each.init is not None}
    said |= {init[0] for names in settings.by_kind.values() for init in names.values()}
    return [inspect.getsource(initialisers[name].fill).rstrip() for name in sorted(said) if not is_torch_init(name)]


def _imports(plan: Plan, body: str) -> list[str]:
    """The imports whose names the body reads: Python's own, then the others, each as formatters order them."""
    read = {node.id for node in ast.walk(ast.parse(body)) if isinstance(node, ast.Name)}
    plain, gathered = set[str](), dict[str, list[str]]()
    for line in sorted(import_lines(plan)):
        node = ast.parse(line).body[0]
        names = [alias for alias in imported(line) if bound(alias) in read]
        if isinstance(node, ast.ImportFrom) and names:
            gathered.setdefault(node.module or "", []).extend(ast.unparse(alias) for alias in names)
        elif names:
            plain.add(line)
    whole = {f"from {module} import {', '.join(sorted(names))}" for module, names in gathered.items()}
    own = {line for line in plain | whole if line.split()[1].partition(".")[0] in sys.stdlib_module_names}
    groups = [[*sorted(plain & some), *sorted(whole & some)] for some in (own, (plain | whole) - own)]
    return [*groups[0], *([""] if groups[0] else []), *groups[1]]
