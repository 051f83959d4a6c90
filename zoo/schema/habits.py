"""How other libraries write things, and what is written here. Floor 1."""

from __future__ import annotations

import re
from collections.abc import Iterable

from zoo.document import Mapping, Node, Scalar, is_null, text_of
from zoo.registry import meant

_NAME_KEYS = ("type", "_target_", "class_path", "class", "cls", "module", "name")  # mmpretrain's, Hydra's, …
_PATH = re.compile(r"(?:\w+[.:])*\w+")  # a class, after the modules that it stands in
_KEYS = {  # of Lightning, Keras, timm and mmpretrain, and what is written here
    **dict.fromkeys(("learning_rate", "base_lr", "lr0"), "lr"),
    "wd": "weight_decay",
    **dict.fromkeys(("val_split", "val_size", "valid_size", "val_ratio", "validation_split"), "validation"),
    **dict.fromkeys(("n_splits", "n_folds", "num_folds", "k_folds", "kfold", "k"), "folds"),
    "fold_id": "fold",
    **dict.fromkeys(("test_split", "test_size", "test_ratio"), "test"),
    "num_workers": "workers",
    **dict.fromkeys(("aug_repeats", "num_repeats", "repeated_aug", "ra_reps", "num_aug_repeats"), "repeats"),
    "ra_sampler": "repeats",
    **dict.fromkeys(("sampler", "class_balanced", "balanced", "weighted_sampler", "oversample"), "sampling"),
    **dict.fromkeys(("bs", "samples_per_gpu"), "batch_size"),
    **dict.fromkeys(("root", "data_dir", "data_root", "folder", "directory"), "path"),
    **dict.fromkeys(("max_epochs", "num_epochs", "n_epochs"), "epochs"),
    **dict.fromkeys(("clip_grad", "max_norm", "gradient_clip_val", "max_grad_norm"), "grad_clip"),
    **dict.fromkeys(("accumulate_grad_batches", "grad_accum_steps", "gradient_accumulation_steps"), "accumulate"),
}
_OF_A_TEACHER = {"alpha": "weight", "T": "temperature", "tau": "temperature", "type": "kind", "mode": "kind"}
_SIZES = ("image_size", "img_size", "input_size", "resize")
_WARM_UPS = ("warmup", "warmup_epochs", "warmup_steps", "warmup_lr", "num_warmup_steps")
_TUPLE = re.compile(r"\(\s*([-\d][^()\[\]{}]*?)\s*,?\s*\)")


def name_help(node: Mapping, key: str, names: Iterable[str] = ()) -> str | None:
    """The way out where a name that is due under ``key`` stands under another library's key: ``type: ReLU``.

    It is the nearest of ``names``, where these are told; ``…`` where none is near.
    """
    found = name_elsewhere(node)
    if found is None:
        return None
    other, path = found
    return f"write {key}: {nearest_of(names, last_of(path))} in place of {other}: {path}"


def key_help(key: str, known: Iterable[str]) -> str | None:
    """The way out where a key is another library's, for one of those that are known or for what stands elsewhere."""
    known = set(known)
    if _KEYS.get(key) in known:
        return f"did you mean {_KEYS[key]}?"
    if key in _OF_A_TEACHER and "teacher" in known:
        return f"did you mean {_OF_A_TEACHER[key]}?"
    if key in _SIZES and "batch_size" in known:
        return "transforms give images their size: Resize: {height: …, width: …}"
    if key in _WARM_UPS and "interval" in known:
        return "OneCycleLR warms up to peak_epoch; before any other, SequentialLR takes a LinearLR"
    return None


def decimal_comma_help(key: str, node: Mapping) -> str | None:
    """The way out where flow style makes a key of what follows a decimal comma: ``1`` of ``{lr: 0,1}``."""
    at = next((index for index, entry in enumerate(node) if entry.key == key), 0)
    before = node.entries[at - 1] if at and key.isdecimal() and is_null(node.get(key)) else None
    if before is None or not isinstance(before.value, Scalar) or type(before.value.value) is not int:
        return None
    return f"a number has a decimal point: {before.key}: {before.value.text}.{key}"


def nearest_of(names: Iterable[str], name: str) -> str:
    """The one of these names that another most likely means, ``…`` where none is near; the name itself of no names."""
    names = list(names)
    return name if name in names or not names else next(iter(meant(name, names)), "…")


def name_elsewhere(node: Mapping) -> tuple[str, str] | None:
    """The key under which a mapping has a name as another library wants it, and the name, maybe with its modules."""
    pairs = ((key, text_of(node.get(key)) or "") for key in _NAME_KEYS)
    return next((pair for pair in pairs if _PATH.fullmatch(pair[1])), None)


def named_inside(node: Mapping) -> str:
    """The name that was meant by a mapping in a name's place: ``{type: ReLU}``, ``{ReLU: {inplace: true}}``."""
    found = name_elsewhere(node)
    return last_of(found[1]) if found else next(iter(node.keys), "ReLU") if len(node) == 1 else "Conv2d"


def last_of(path: str) -> str:
    """A class's own name, without the modules before it."""
    return re.split(r"[.:]", path)[-1]


def tuple_help(node: Scalar) -> str:
    """The way out where Python's tuple stands. In flow style its first comma ends the value, so its line is read."""
    line = node.span.source.line(node.span.line)[node.span.column - 1 :]
    found = _TUPLE.match(str(node.value)) or _TUPLE.match(line)
    return f"a list is written [{found[1] if found else '3, 3'}]"


def rest_of_tuples(node: Node) -> dict[str, str]:
    """The keys that are the rest of a tuple, and of which key's: ``3)`` of ``{kernel_size: (3, 3)}`` in flow style."""
    rest: dict[str, str] = {}
    opened: str | None = None
    passed: list[str] = []
    for entry in node if isinstance(node, Mapping) else ():
        text = text_of(entry.value) or ""
        if opened is not None and is_null(entry.value):
            passed.append(entry.key)
            if entry.key.endswith(")"):
                rest |= dict.fromkeys(passed, opened)
                opened = None
        else:
            opened, passed = (entry.key if text.startswith("(") and ")" not in text else None), []
    return rest
