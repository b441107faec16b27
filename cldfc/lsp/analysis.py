"""What is known of an open document: its statements, what is wrong, and the network, if nothing is."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from cldfc.collector import collector_paused
from cldfc.compiler import AS_WRITTEN, analyse_spec, remarks_on
from cldfc.diagnostics import CldfError, Diagnostic, Problems, Source
from cldfc.network.collect import collect_names
from cldfc.network.cost import Cost, cost_of_operations
from cldfc.network.graph import Graph, build_graph
from cldfc.network.names import Names
from cldfc.network.order import check_order
from cldfc.network.shapes import Inferred
from cldfc.syntax import tree
from cldfc.syntax.extend import read_spec


@dataclass(frozen=True)
class Network:
    """The network of a document without errors; its graph is built when it is first asked for."""

    inferred: Inferred

    @cached_property
    def graph(self) -> Graph:
        """The network as it is written."""
        return build_graph(self.inferred)

    @cached_property
    def costs(self) -> list[Cost]:
        """The cost of each operation."""
        return cost_of_operations(self.graph)


@dataclass(frozen=True)
class Analysis:
    """A text with its statements, also those that it extends, and what is to be said of it.

    Without errors it has a network, on which there may be remarks.
    """

    source: Source
    spec: tree.Spec
    diagnostics: tuple[Diagnostic, ...]
    network: Network | None

    @cached_property
    def names(self) -> Names:
        """What its names stand for; those that need themselves stand for nothing."""
        names = collect_names(self.spec, Problems())
        check_order(names, names.problems)
        return names


@collector_paused()
def analyse_text(source: Source) -> Analysis:
    """Everything that is known of a text, right or wrong."""
    problems = Problems()
    spec = read_spec(source, problems)
    try:
        inferred = analyse_spec(spec, AS_WRITTEN, problems)
    except CldfError as error:
        return Analysis(source, spec, error.diagnostics, None)
    return Analysis(source, spec, tuple(remarks_on(inferred)), Network(inferred))


@dataclass
class Document:
    """An open document: its analysis, and the last one that was without errors, which answers while it is broken."""

    current: Analysis
    good: Analysis | None = None

    @property
    def known(self) -> Analysis:
        """The analysis that knows most."""
        return self.good or self.current

    def names(self, name: str) -> Names:
        """What names stand for, by an analysis that knows this one, if any does."""
        knows = name in self.current.names.declared or self.current.names.arities(name)
        return self.current.names if knows else self.known.names


@dataclass
class Documents:
    """The open documents by their addresses."""

    open: dict[str, Document] = field(default_factory=dict[str, Document])

    def read(self, uri: str, source: Source, is_stale: bool = False) -> Document:
        """The document with this text; analysed anew when that has changed, or what it extends (`is_stale`)."""
        before = self.open.get(uri)
        if before is not None and before.current.source == source and not is_stale:
            return before
        analysis = analyse_text(source)
        good = analysis if analysis.network else before and before.good
        self.open[uri] = Document(analysis, good)
        return self.open[uri]
