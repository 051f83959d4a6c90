"""The text of one class. Floor 6."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from zoo.exchange.eject.classes import EjectedClass
from zoo.exchange.eject.forms import StepForm
from zoo.exchange.eject.layout import docstring, signature, statement
from zoo.exchange.eject.modules import (
    chain_items,
    free_tensor_text,
    module_text,
    ordered_parameters,
    value_text,
)
from zoo.exchange.eject.settings import InitCall, Setting, Settings, collapsed, reach
from zoo.exchange.eject.shapes import shape_line
from zoo.graph import Step, forward_of
from zoo.graph.plan import TensorSpec, Value
from zoo.graph.python_text import is_attribute, literal
from zoo.layers import initialisers, ops

MOST_STEPS_TOLD = 8


def class_text(cls: EjectedClass, settings: Settings, about: list[str] | None = None) -> str:
    """A class: docstring, constructor, forward. ``about`` takes the place of the docstring."""
    is_list = cls.pattern.is_list
    parts = [docstring(about or [_contents(cls)], 4)]
    constructor = _constructor(cls, settings)
    if constructor:
        parts.append(constructor)
    parts.append(_forward(cls))
    images = _from_images(cls, settings)
    if images:
        parts.append(images)
    return f"class {cls.name}({'nn.Sequential' if is_list else 'nn.Module'}):\n" + "\n\n".join(parts)


def _contents(cls: EjectedClass) -> str:
    """What a class consists of, in forward order."""
    names = [
        step.body.class_name or step.name if step.body else step.op or f"{step.share} again"
        for step in cls.pattern.block.steps
    ]
    if not names:
        return "Hands on its input."
    return f"{', '.join(names[:MOST_STEPS_TOLD])}{', …' if len(names) > MOST_STEPS_TOLD else '.'}"


def _constructor(cls: EjectedClass, settings: Settings) -> str:
    parameters = [
        f"{each.name}: {each.annotation}" + (f" = {literal(each.default[0])}" if each.default else "")
        for each in ordered_parameters(cls)
    ]
    lines = _list_items(cls) if cls.pattern.is_list else _attributes(cls)
    lines += _settings_lines(cls, settings)
    if not lines:
        return ""
    if not cls.pattern.is_list:
        lines.insert(0, "        super().__init__()")
    return "\n".join([signature("__init__", ["self", *parameters], "None", 4), *lines])


def _list_items(cls: EjectedClass) -> list[str]:
    """A list's modules, given to ``nn.Sequential``."""
    ((_, chain),) = cls.described[0].form.steps
    return [statement(f"super().__init__({', '.join(chain_items(chain, cls.solution.texts))})", 8)]


def _attributes(cls: EjectedClass) -> list[str]:
    lines = [f"        self.{each.attribute} = {each.name}" for each in ordered_parameters(cls) if each.in_forward]
    lines += [f"        self.{each.attribute} = {each.condition}" for each in cls.switches.values()]
    for name, step in cls.described[0].form.steps:
        if step.kind in ("module", "block"):
            lines += _submodule(cls, name, module_text(step.built, cls.solution.texts))
        elif step.kind == "parameter":
            lines.append(
                _assign(name, f"nn.Parameter({free_tensor_text(step, cls.solution.texts)})", "register_parameter")
            )
        elif step.kind == "buffer":
            lines.append(_buffer(cls, name, step))
    return lines


def _assign(name: str, text: str, method: str, indent: int = 8) -> str:
    if is_attribute(name):
        return statement(f"self.{name} = {text}", indent)
    return statement(f"self.{method}({literal(name)}, {text})", indent)


def _submodule(cls: EjectedClass, name: str, text: str) -> list[str]:
    condition = cls.optional.get(name)
    if condition is None:
        return [_assign(name, text, "add_module")]
    start = (
        f"        self.{name}: nn.Module = nn.Identity()"
        if is_attribute(name)
        else _assign(name, "nn.Identity()", "add_module")
    )
    return [start, f"        if {condition}:", _assign(name, text, "add_module", 12)]


def _buffer(cls: EjectedClass, name: str, step: StepForm) -> str:
    persistent = dict(step.built).get("persistent")
    keyword = ""
    if persistent is not None and cls.solution.texts[persistent] != "True":
        keyword = f", persistent={cls.solution.texts[persistent]}"
    return statement(f"self.register_buffer({literal(name)}, {free_tensor_text(step, cls.solution.texts)}{keyword})", 8)


def _forward(cls: EjectedClass) -> str:
    pattern = cls.pattern
    conditions = {name: (f"self.{each.attribute}", each.otherwise) for name, each in cls.switches.items()}
    forward = forward_of(pattern.block, None if pattern.is_list else _ArgumentTexts(cls), conditions)
    values = [pattern.values[name] for name in pattern.block.inputs]
    names = [f"{name}: {_hint(value)}" for name, value in zip(forward.parameters, values, strict=True)]
    statements: Sequence[str] = forward.statements
    if pattern.is_list:
        statements = [f"return super().forward({forward.parameters[0]})"]
    returns = _hint(pattern.output)
    lines = [signature("forward", ["self", *names], returns, 4), docstring([shape_line(cls)], 8)]
    return "\n".join([*lines, *(statement(text, 8) for text in statements)])


def _hint(value: Value) -> str:
    if isinstance(value, TensorSpec):
        return "Tensor"
    if isinstance(value, tuple):
        hints = [_hint(item) for item in value]
        return f"tuple[{hints[0]}, ...]" if len(set(hints)) == 1 else f"tuple[{', '.join(hints)}]"
    if isinstance(value, dict):
        return "dict[str, Tensor]"
    return "None"


class _ArgumentTexts:
    """Writes the arguments of functions: literals, sizes of the input, parameters kept by the constructor."""

    def __init__(self, cls: EjectedClass) -> None:
        self._solution = cls.solution
        self._steps = dict(cls.described[0].form.steps)

    def __call__(self, step: Step, name: str, value: Any, inputs: Sequence[str]) -> str:
        form = self._steps[step.name]
        written = {**dict(form.built or ()), **dict(form.keywords)} if step.kind == "function" else dict(form.keywords)
        texts = dict(self._solution.texts)
        for slot, (parameter, text) in self._solution.forward.items():
            if slot.step == step.name:
                filled = text.format(f"self.{parameter.attribute}" if parameter is not None else inputs[0])
                is_operand = step.kind == "function" and ops[step.op].second_input == name and " " in filled
                texts[slot] = f"({filled})" if is_operand else filled
        return value_text(written[name], texts)


def _settings_lines(cls: EjectedClass, settings: Settings) -> list[str]:
    """Initialisation and freezing, at the end of the constructor."""
    said = settings.of[cls]
    lines: list[str] = []
    for setting in said:
        if setting.init is not None and not setting.images_wanted:
            lines += _guarded(cls, setting.path, _initialise(cls, setting))
    if cls.pattern.call is None:
        lines += _loop_by_kind(settings)
    for path in collapsed([each.path for each in said if each.init is None], cls.pattern):
        target = reach(cls.pattern, path)
        lines += _guarded(cls, path, f"{target}.requires_grad_(False)")
    return lines


def _guarded(cls: EjectedClass, path: tuple[str, ...], text: str) -> list[str]:
    condition = cls.optional.get(path[0])
    return [statement(text, 8)] if condition is None else [f"        if {condition}:", statement(text, 12)]


def _initialise(cls: EjectedClass, setting: Setting) -> str:
    assert setting.init is not None
    target = reach(cls.pattern, setting.path)
    return init_call(setting.init, target)


def init_call(init: InitCall, *targets: str) -> str:
    """``nn.init.trunc_normal_(self.pos_embed, std=0.02)``."""
    name, arguments = init
    function = f"nn.init.{name}_" if is_torch_init(name) else initialisers[name].fill.__name__
    keywords = [f"{key}={literal(value)}" for key, value in arguments if len(targets) == 1 or key != "images"]
    return f"{function}({', '.join([*targets, *keywords])})"


def is_torch_init(name: str) -> bool:
    """Whether an initialiser is one of ``torch.nn.init``."""
    return initialisers[name].fill is getattr(nn.init, f"{name}_", None)


def _loop_by_kind(settings: Settings) -> list[str]:
    lines: list[str] = []
    for op, names in settings.by_kind.items():
        word, may_lack = "elif" if lines else "if", "module.bias is not None"
        condition = f"isinstance(module, {ops[op].path})"
        if list(names) == ["bias"]:
            lines.append(f"            {word} {condition} and {may_lack}:")
            lines.append(statement(init_call(names["bias"], "module.bias"), 16))
            continue
        lines.append(f"            {word} {condition}:")
        for name, init in names.items():
            if name == "bias":
                lines.append(f"                if {may_lack}:")
            lines.append(statement(init_call(init, f"module.{name}"), 20 if name == "bias" else 16))
    return ["        for module in self.modules():", *lines] if lines else []


def _from_images(cls: EjectedClass, settings: Settings) -> str:
    """A method for initialisers that are computed from training images."""
    lines = []
    for setting in settings.of[cls]:
        if setting.init is not None and setting.images_wanted:
            target, images = reach(cls.pattern, setting.path), f"images[:{setting.images_wanted}]"
            lines.append(statement(init_call(setting.init, target, images), 8))
    if not lines:
        return ""
    about = docstring(["Sets what is computed from training images: normalised, [N, C, H, W]."], 8)
    return "\n".join(["    def initialise_from_images(self, images: Tensor) -> None:", about, *lines])
