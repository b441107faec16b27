"""How large the house is, how often a name in it means two things, and how often a command parses.

python tools/house.py            # files, lines, names that occur twice, parses of each command
python tools/house.py --names    # and which names they are, with their files
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parents[1]
HOUSE = ROOT / "cldfc"
GENERATED = {HOUSE / "syntax" / "tables.py"}

COMMANDS: Mapping[str, int] = {
    "check fbresnet": 1,
    "show fbresnet": 1,
    "compile fbresnet --form auto -o -": 2,
    "derive fbresnet --residual": 2,
    "verify lista": 1,
    "verify lenet5 lenet5": 2,
}
"""How often a command may parse: once for each spec that is given, and once for one that it derives."""


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def files() -> list[Path]:
    """The Python files of the package that somebody has written."""
    return sorted(set(HOUSE.rglob("*.py")) - GENERATED)


def definitions(kind: type[ast.ClassDef] | type[ast.FunctionDef]) -> dict[str, list[str]]:
    """Where each class, or each function at the top of a file, is defined; not functions that only that file uses."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in files():
        for node in parsed(path).body:
            if isinstance(node, kind) and (kind is ast.ClassDef or not node.name.startswith("_")):
                found[node.name].append(str(path.relative_to(HOUSE)))
    return found


def stems() -> dict[str, list[str]]:
    """The files of each name; a package's own file has no name of its own."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in files():
        if path.stem not in ("__init__", "__main__"):
            found[path.stem].append(str(path.relative_to(HOUSE)))
    return found


def twice(names: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """The names that stand for several things."""
    return {name: places for name, places in sorted(names.items()) if len(places) > 1}


def circles() -> list[list[str]]:
    """Circles among the files that import one another, those for the type checker alone included."""
    import networkx

    graph: Any = networkx.DiGraph()
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in files()}
    for module, path in modules.items():
        for target in imported(parsed(path)):
            if target in modules:
                graph.add_edge(module, target)
    return [sorted(part) for part in networkx.strongly_connected_components(graph) if len(part) > 1]


def imported(tree: ast.Module) -> Iterator[str]:
    """The modules that a file imports, wherever in it; `from a import b` may mean the module `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def used_elsewhere() -> set[tuple[str, str]]:
    """Which names of which modules other files of Python use, tests and benchmarks included.

    Also those in texts: `monkeypatch.setattr("cldfc.stop.asked", …)`, `writer="cldfc.show.dot:emit_dot"`.
    """
    used: set[tuple[str, str]] = set()
    for folder in ("cldfc", "tests", "tools", "benchmarks", "docs"):
        for path in set((ROOT / folder).rglob("*.py")) - GENERATED:
            own = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            modules: dict[str, str] = {}
            nodes = list(ast.walk(parsed(path)))
            for node in nodes:
                if isinstance(node, ast.ImportFrom) and node.module and node.module != own:
                    used |= {(node.module, alias.name) for alias in node.names}
                    modules |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
                elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "cldfc" in node.value:
                    used |= {(module, name) for module, name in re.findall(r"(cldfc[\w.]*)[.:](\w+)", node.value)}
            for node in nodes:
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
                    used.add((modules[node.value.id], node.attr))
    return used


def unused_doors() -> list[str]:
    """The functions without a leading underscore that no other file uses."""
    used = used_elsewhere()
    found: list[str] = []
    for path in files():
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for node in parsed(path).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and not node.decorator_list:
                found += [f"{module}.{node.name}"] if (module, node.name) not in used else []
    return found


def parses(command: str) -> int:
    """How often a command parses a text."""
    sys.path.insert(0, str(ROOT))
    from cldfc.__main__ import main
    from cldfc.algebra.residual import write_spec
    from cldfc.syntax import parse, read

    parse_spec: Callable[..., object] = parse.parse_spec
    counted = mock.Mock(side_effect=parse_spec)
    with contextlib.ExitStack() as stack:
        for module in (parse, read, write_spec):
            stack.enter_context(mock.patch.object(module, "parse_spec", counted))
        stack.enter_context(mock.patch("sys.argv", ["cldfc", *command.split()]))
        for stream in (contextlib.redirect_stdout, contextlib.redirect_stderr):
            stack.enter_context(stream(io.StringIO()))
        stack.enter_context(contextlib.suppress(SystemExit))
        main()
    return counted.call_count


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", action="store_true", help="print the names, too")
    shows_names = parser.parse_args().names
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files())
    print(f"{len(files())} files, {lines:,} lines")
    kinds = {"class": definitions(ast.ClassDef), "function": definitions(ast.FunctionDef), "file": stems()}
    for kind, names in kinds.items():
        print(f"{len(twice(names))} {kind} names stand for several things")
        for name, places in twice(names).items() if shows_names else ():
            print(f"  {name}: {', '.join(places)}")
    print(f"{len(circles())} circles among files")
    for part in circles() if shows_names else ():
        print(f"  {', '.join(part)}")
    for command, allowed in COMMANDS.items():
        print(f"cldfc {command}: {parses(command)} parses, of {allowed} needed")


if __name__ == "__main__":
    main()
