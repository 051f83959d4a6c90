"""``use``: blocks from other files. Floor 3."""

from __future__ import annotations

from pathlib import Path

from zoo.architectures import architecture_names, architecture_path
from zoo.diagnostics import Diagnostics, Note
from zoo.document import Mapping, Node, Scalar, each_of, folder_of, load, other_file
from zoo.document.merge import LONGEST_CHAIN
from zoo.graph.texts import Blocks, TextReader
from zoo.layout import is_file
from zoo.schema.architecture import LibraryForm
from zoo.schema.check import validate


class Libraries:
    """Reads block libraries, each file once; a file's blocks see that file's blocks and the libraries it uses."""

    def __init__(self, diagnostics: Diagnostics) -> None:
        self._diagnostics = diagnostics
        self._reader = TextReader(diagnostics)
        self._read: dict[Path, Blocks] = {}
        self._open = 0  # libraries that are being read, each used by the one before

    def blocks(self, document: Mapping, folder: Path | None) -> Blocks:
        """The blocks in sight of a document's layers: its own, then those of the libraries it uses."""
        around = Blocks()
        scope = self._reader.blocks(document.get("blocks"), around)
        for node in _items(document.get("use")):
            self._bring_in(node, folder, around)
        for name, text in scope.own.items():
            hidden = around.find(name)
            if hidden is not None:
                self._diagnostics.warning(
                    "hides-block",
                    f"the block {name} hides the one of a library",
                    text.span,
                    notes=[Note("the other", hidden.span)],
                )
        return scope

    def _bring_in(self, node: Scalar, folder: Path | None, around: Blocks) -> None:
        path = find_library(node, folder)
        if path is None:
            self._diagnostics.error(
                "no-such-library",
                f"there is no {node.value} to use",
                node.span,
                help=other_file(str(node.value), Path(node.span.file), architecture_names())
                or "give a path relative to this file, or the name of a shipped architecture",
            )
            return
        if self._open == LONGEST_CHAIN:
            message = f"more than {LONGEST_CHAIN} libraries use one another"
            self._diagnostics.error(
                "too-deep", message, node.span, help="name those whose blocks are called in one `use`"
            )
            return
        library = self._library(path)
        for name, text in library.own.items():
            first = around.find(name) or text
            if first is not text:
                self._diagnostics.error(
                    "duplicate-name",
                    f"two libraries have a block {name}",
                    node.span,
                    notes=[Note("one", first.span), Note("the other", text.span)],
                )
        around.used.append(library)

    def _library(self, path: Path) -> Blocks:
        key = path.resolve()
        if key not in self._read:
            self._read[key] = Blocks()  # two files may use one another
            document = load(path, self._diagnostics, find_parent=find_parent, shipped=architecture_names())
            if document is not None and validate(LibraryForm, document, self._diagnostics, what=path.name) is not None:
                self._open += 1
                found = self.blocks(document, path.parent)
                self._open -= 1
                self._read[key].own.update(found.own)
        return self._read[key]


def find_parent(written: str, folder: Path) -> Path | None:
    """What stands behind an architecture's ``extends``: a path relative to the file, or a shipped name."""
    path = folder / written
    if is_file(path):
        return path
    return architecture_path(written)


def find_library(node: Scalar, folder: Path | None) -> Path | None:
    """The file that `use` names: beside the file where it stands, in ``folder``, or a shipped architecture."""
    written = str(node.value)
    candidates = [place / written for place in (folder_of(node), folder) if place is not None]
    return next((path for path in candidates if is_file(path)), None) or architecture_path(written)


def _items(node: Node | None) -> list[Scalar]:
    return [item for item in each_of(node) if isinstance(item, Scalar) and isinstance(item.value, str)]
