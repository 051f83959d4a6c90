"""Which parameters an optimizer or a group takes: by kind, by name pattern, or the rest. Floor 2.

A pattern is a glob over the dotted name, as the shell has it: ``*`` any run of characters (dots too), ``?`` one,
``[ab]`` one of these. A pattern that fits a module's name takes all parameters below it: ``layer4`` is
``layer4.*``. Where ``kind`` and ``match`` stand together, both must hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn

from zoo.diagnostics import Diagnostics, Span
from zoo.document import Mapping, Node, Scalar, each_of, plain
from zoo.registry import LISTED, listed, meant, offer, unknown

KINDS: dict[str, str] = {
    "bias": "biases of all layers, those of norms and attention too",
    "norm": "weights and biases of normalisation layers",
    "conv": "weights of convolutions, transposed ones too",
    "linear": "weights of linear, bilinear and attention layers",
    "embedding": "weights of embeddings",
    "parameter": "everything else: free parameters (tokens, positions, scales), slopes of PReLU",
    "vector": "all tensors of at most one dimension",
    "matrix": "all tensors of two and more dimensions",
}
_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
_LAYERS: tuple[tuple[str, tuple[type[nn.Module], ...]], ...] = (
    ("conv", (nn.modules.conv._ConvNd,)),
    ("linear", (nn.Linear, nn.Bilinear, nn.MultiheadAttention)),
    ("embedding", (nn.Embedding, nn.EmbeddingBag)),
)


@dataclass(frozen=True, eq=False, slots=True)
class NamedParameter:
    """A parameter with its dotted name and the kinds it is of."""

    name: str
    tensor: nn.Parameter
    kinds: frozenset[str]


@dataclass(frozen=True, slots=True)
class Selector:
    """``params:`` of an optimizer, or ``match`` and ``kind`` of a group."""

    patterns: tuple[tuple[str, Span], ...] = ()
    kinds: tuple[str, ...] = ()
    is_rest: bool = False

    def takes(self, parameter: NamedParameter) -> bool:
        """Whether the parameter is of one of the kinds and fits one of the patterns."""
        if self.kinds and not parameter.kinds.intersection(self.kinds):
            return False
        return not self.patterns or any(fits(parameter.name, pattern) for pattern, _ in self.patterns)

    def __str__(self) -> str:
        if self.is_rest:
            return "rest"
        return " ".join([*self.kinds, *(pattern for pattern, _ in self.patterns)])


REST = Selector(is_rest=True)


def fits(name: str, pattern: str) -> bool:
    """Whether a pattern fits a parameter's dotted name, or that of a module around it."""
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")


def named_parameters(model: nn.Module) -> Iterator[NamedParameter]:
    """Every parameter once, in the order of ``model.named_parameters()``, with its kinds."""
    owners = dict(model.named_modules())
    for name, tensor in model.named_parameters():
        path, _, leaf = name.rpartition(".")
        yield NamedParameter(name, tensor, kinds_of(owners[path], leaf, tensor))


def kinds_of(module: nn.Module, leaf: str, tensor: nn.Parameter) -> frozenset[str]:
    """The kinds of the parameter ``leaf`` of a module."""
    kinds = {"vector" if tensor.ndim < 2 else "matrix"}
    is_bias = leaf == "bias" or leaf.endswith("_bias")
    if is_bias:
        kinds.add("bias")
    if isinstance(module, _NORMS) or "Norm" in type(module).__name__:  # torchvision's and timm's own are named so
        return frozenset({*kinds, "norm"})
    layer = next((kind for kind, classes in _LAYERS if isinstance(module, classes)), "parameter")
    return frozenset(kinds if is_bias else {*kinds, layer})


def parse_selector(node: Mapping, diagnostics: Diagnostics, *, what: str) -> Selector:
    """The selector of a mapping's ``match`` and ``kind``, each a text or a list of texts."""
    patterns = tuple((str(item.value), item.span) for item in _items(node.get("match")))
    kinds = []
    for item in _items(node.get("kind")):
        if item.value in KINDS:
            kinds.append(str(item.value))
            continue
        diagnostics.add(unknown("parameter kind", str(item.value), KINDS, item.span))
    return Selector(patterns, tuple(kinds))


def told_unmatched(
    selector: Selector, names: list[str], diagnostics: Diagnostics, *, what: str, of: str = "parameter of the model"
) -> bool:
    """Tells of each pattern that fits none of these names, which are ``of`` what it says; whether there was one."""
    lost = [(text, span) for text, span in selector.patterns if not any(fits(name, text) for name in names)]
    for text, span in lost:
        diagnostics.error(
            "unmatched-pattern",
            f"{what}: no {of} fits {text!r}",
            span,
            help=names_help(text, names) if names else None,
        )
    return bool(lost)


def names_help(text: str, names: list[str]) -> str:
    """What a pattern may have meant; where nothing is near, the modules at the network's top, to begin from.

    ``names`` are those that it could fit, of parameters or of modules.
    """
    modules = [name.rpartition(".")[0] for name in names if "." in name]
    likely = meant(text.strip("*."), [*dict.fromkeys(modules), *names])
    if likely:
        return offer(likely)
    tops = list(dict.fromkeys(name.partition(".")[0] for name in names))
    return f"there are {listed(tops, 'and')}" if len(tops) <= LISTED else f"there are {', '.join(tops[:LISTED])}, …"


def _items(node: Node | None) -> list[Scalar]:
    return [item if isinstance(item, Scalar) else Scalar(str(plain(item)), item.span) for item in each_of(node)]
