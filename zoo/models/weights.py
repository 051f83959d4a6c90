"""First weights of a network, from a file: as they fit, and what is told where they do not. Floor 4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from pathlib import Path

import torch
from torch import Tensor, nn

from zoo.diagnostics import and_more, counted, first_of
from zoo.errors import CheckpointError
from zoo.layout import MANIFEST, is_file
from zoo.models.conversion import convert, may_have_stood_in_a_square, told, told_of_oblong, with_channels
from zoo.models.foreign import ForeignModel
from zoo.models.weight_files import read_weights
from zoo.registry import listed, nearest

_MOST_NAMED = 8
_AS_THEY_ARE = (
    "an architecture takes tensors as they are: give it the params, and the size of images, that they were made with; "
    "positions are resampled for model: {timm: NAME} and {torchvision: NAME}"
)


def load_weights(
    module: nn.Module, path: str | Path, *, may_lack_head: bool = False, foreign: ForeignModel | None = None
) -> str:
    """Fills a module with a file's weights, in place: device, dtype and memory layout stay the module's.

    The names in the file may bear a prefix, of a wrapper or of the larger model that the network was a part of. Where
    the classifier was made for another number of classes, or with ``may_lack_head`` is not there, the module's own,
    freshly initialised, stays. A first convolution of other channels is adapted, and for a ``foreign`` model its
    library's functions for weights of another image size and other names are tried. Returns a line that says what was
    loaded and what was changed.

    Raises CheckpointError for a file that cannot be read, is not weights alone, or does not fit.
    """
    path = Path(path)
    own, (tensors, place) = module.state_dict(), read_weights(path)
    heads = _heads(module, own)
    head = {name for name in own if name.rpartition(".")[0] in heads}
    prefix = _prefix(tensors, own, head, path)
    given = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    where = f", {place}" if place else ""
    where += f", those below {prefix.removesuffix('.')}" if len(given) < len(tensors) else ""
    _require_same_kind({name: tensor for name, tensor in own.items() if name in given}, given, path)
    is_own = is_file(path / MANIFEST)  # zoo's checkpoint, of images of whatever proportions
    given, notes = _fitted(module, own, head, given, foreign, is_own=is_own)
    is_headless = may_lack_head and 0 < len(head) < len(own) and not head & given.keys()
    absent = (head if is_headless else set()) | _counts_left_out(own, given)
    wanted = {name: tensor for name, tensor in own.items() if name not in absent}
    _require_same_names(wanted, given, path)
    misfits = [name for name, tensor in wanted.items() if tensor.shape != given[name].shape]
    _require_same_shapes(own, given, misfits, head, path, is_graph=foreign is None)
    kept = {*absent, *misfits}
    module.load_state_dict({name: own[name] if name in kept else given[name] for name in own})
    why = "it is not in the file" if is_headless else ""
    if misfits:
        why = f"{own[misfits[0]].shape[0]} classes here, {given[misfits[0]].shape[0]} in the file"
    new = f"{listed(heads, 'and')} {'is' if len(heads) == 1 else 'are'} new: {why}" if why else ""
    return "; ".join([f"loaded {len(own) - len(kept)} tensors from {path}{where}", *filter(None, [new, *notes])])


def _fitted(
    module: nn.Module,
    own: Mapping[str, Tensor],
    head: Set[str],
    given: dict[str, Tensor],
    foreign: ForeignModel | None,
    *,
    is_own: bool,
) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors as the network takes them, and what was done for it; as they are where nothing helps."""
    is_open = foreign is not None and may_have_stood_in_a_square(module, given)
    adapted, notes = with_channels(module, given)
    if _fits(own, head, adapted) and (is_own or not is_open):
        return adapted, [*notes, told_of_oblong(module, given)] if is_open else notes
    if foreign is None:
        return given, []
    conversion = convert(foreign.library, foreign.name, foreign.arguments, module, given)
    if conversion is not None:
        adapted, notes = with_channels(module, conversion.tensors)
        if _fits(own, head, adapted):
            return adapted, [*told(given, conversion, module), *notes]
    return given, []


def _fits(own: Mapping[str, Tensor], head: Set[str], given: Mapping[str, Tensor]) -> bool:
    """Whether names and shapes are the network's, those of the classifier left out of account."""
    body = own.keys() - head
    if given.keys() - own.keys() or body - given.keys() - _counts_left_out(own, given):
        return False
    return all(own[name].shape == given[name].shape for name in body & given.keys())


def _counts_left_out(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> set[str]:
    """Files of before PyTorch 0.4.1 lack these counts, which nothing but an average without momentum reads."""
    return {name for name in own if name.endswith("num_batches_tracked") and name not in given}


def _prefix(given: Mapping[str, Tensor], own: Mapping[str, Tensor], head: Set[str], path: Path) -> str:
    """What stands in front of the network's names in a file: ``module.`` of DataParallel, ``model.``, ``encoder_q.``.

    Raises CheckpointError where the network is there under several.
    """
    body = [name for name in own if name not in head and not name.endswith("num_batches_tracked")] or list(own)
    if given.keys() & own.keys() or not body:
        return ""
    starts = [name.removesuffix(body[0]) for name in given if name.endswith(f".{body[0]}")]
    found = [start for start in starts if all(start + name in given for name in body)]
    if len(found) > 1:
        places = [start.removesuffix(".") for start in found]
        below = listed(places, "and") if len(found) <= _MOST_NAMED else first_of(places[:_MOST_NAMED], len(found))
        raise CheckpointError(
            f"{path} has this network several times: below {below}",
            code="weights-names",
            help="save the one that is meant to a file of its own",
        )
    return found[0] if found else ""


def _heads(module: nn.Module, own: Mapping[str, Tensor]) -> list[str]:
    """The classifiers' names: of a timm model those that timm names, of any other the layer that comes last."""
    named = getattr(module, "pretrained_cfg", {}).get("classifier") or ()
    known = [name for name in ((named,) if isinstance(named, str) else named) if f"{name}.weight" in own]
    return known or [list(own)[-1].rpartition(".")[0] if own else ""]


def _require_same_names(own: Mapping[str, Tensor], given: Mapping[str, Tensor], path: Path) -> None:
    missing = [name for name in own if name not in given]
    unexpected = [name for name in given if name not in own]
    if not missing and not unexpected:
        return
    notes = [f"missing: {text}" for text in and_more(missing[:_MOST_NAMED], len(missing))]
    notes += [f"not in this network: {text}" for text in and_more(unexpected[:_MOST_NAMED], len(unexpected))]
    if missing and unexpected:
        notes.append(f"nearest to {missing[0]}: {', '.join(nearest(missing[0], unexpected))}")
    raise CheckpointError(
        f"{path} does not fit: {counted(len(missing), 'tensor')} missing, {len(unexpected)} not in this network",
        code="weights-names",
        notes=notes,
    )


def _require_same_shapes(
    own: Mapping[str, Tensor],
    given: Mapping[str, Tensor],
    misfits: Sequence[str],
    head: Set[str],
    path: Path,
    *,
    is_graph: bool,
) -> None:
    """Raises CheckpointError unless what differs is the classifier, in the number of classes alone."""
    in_head = [name for name in misfits if name in head]
    pairs = [(own[name], given[name]) for name in in_head]
    is_of_classes = all(here.dim() == there.dim() and here.shape[1:] == there.shape[1:] for here, there in pairs)
    odd = [name for name in misfits if not is_of_classes or name not in head]
    if not odd:
        return
    shapes = [f"{name}: {list(own[name].shape)} here, {list(given[name].shape)} in the file" for name in odd]
    raise CheckpointError(
        f"{path}: {counted(len(odd), 'tensor')} of another shape",
        code="weights-shape",
        notes=and_more(shapes[:_MOST_NAMED], len(shapes)),
        help=_AS_THEY_ARE if is_graph else "give the model the arguments that the file was made with",
    )


def _require_same_kind(own: Mapping[str, Tensor], given: Mapping[str, Tensor], path: Path) -> None:
    """Raises CheckpointError unless these are plain tensors of numbers that the network's own can take."""
    odd = {name: kind for name, tensor in own.items() if (kind := _oddity(tensor, given[name]))}
    if odd:
        raise CheckpointError(
            f"{path}: {counted(len(odd), 'tensor')} of another kind than the network's",
            code="weights-kind",
            notes=and_more([f"{name}: {kind}" for name, kind in odd.items()][:_MOST_NAMED], len(odd)),
            help=_way_out(given[next(iter(odd))]),
        )


def _way_out(odd: Tensor) -> str | None:
    """What whoever saved a tensor of another kind would do in its place."""
    if odd.is_meta:
        return "save the model once its weights are loaded: it was on the meta device, where there are none"
    if odd.is_quantized:
        return "turn quantized weights back before they are saved: .dequantize()"
    if not odd.is_nested and odd.layout != torch.strided:
        return "make sparse weights dense before they are saved: .to_dense()"
    return None


def _oddity(own: Tensor, given: Tensor) -> str:
    """What a tensor is whose numbers another cannot take; empty of one whose it can."""
    if given.is_meta:
        return "no values"
    if given.is_nested:
        return "nested"
    if given.layout != torch.strided:
        return f"sparse, {given.layout}"
    is_odd = given.is_complex() or given.is_quantized or (own.is_floating_point() and not given.is_floating_point())
    return str(given.dtype) if is_odd else ""
