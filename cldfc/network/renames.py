"""`rename bn_r@ℓ,i → bn_f@ℓ,i`: other names for parameters that are named after their places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cldfc.diagnostics import Label, Problems
from cldfc.network.expand import Expansion
from cldfc.network.positions import Key, Position, Positions, format_key
from cldfc.network.program import Step, Template, Use
from cldfc.network.words import Words
from cldfc.ops import BUILTINS
from cldfc.syntax import tree
from cldfc.syntax.format import format_symbol


@dataclass(frozen=True, slots=True)
class Renaming:
    """A `rename`, with what its two tags stand for over the index names of the left one."""

    statement: tree.Rename
    old: Positions
    new: Positions

    @property
    def open(self) -> int:
        """How many of its indices are not numbers: of two that speak of a parameter the one with more numbers holds."""
        return sum(position.base is not None for position in self.old)

    def apply(self, use: Use) -> Use | None:
        """A use under its new name; None where this speaks of others."""
        found: dict[str, Position] = {}
        for wanted, given in zip(self.old, use.positions, strict=True):
            if isinstance(wanted.base, str):
                at = given.shifted(-wanted.offset)
                if found.setdefault(wanted.base, at) != at:
                    return None
            elif wanted != given:
                return None
        new = tuple(position.substitute(found) for position in self.new)
        return Use(self.statement.new.name, new, new, use.span)


def rename_uses(templates: Sequence[Template], words: Words) -> list[Template]:
    """The equations with their parameters under the names that `rename` statements give.

    A `rename` of what is not there says nothing: another `let σ` may have left a normalisation out.
    """
    found: dict[tuple[str, int], list[Renaming]] = {}
    for renaming in sorted(resolve_renames(words), key=lambda renaming: renaming.open):
        symbol = renaming.statement.old
        found.setdefault((symbol.name, len(symbol.tag)), []).append(renaming)
    if not found:
        return list(templates)
    changed: list[Template] = []
    for template in templates:
        steps: list[Step] = []
        for step in template.steps:
            uses = (step.use, step.statistics)
            use, statistics = (use and renamed_use(use, found, words.problems) for use in uses)
            steps.append(replace(step, use=use, statistics=statistics))
        changed.append(replace(template, steps=tuple(steps)))
    return changed


def renamed_use(use: Use, renamings: Mapping[tuple[str, int], Sequence[Renaming]], problems: Problems) -> Use:
    mine = renamings.get((use.name, len(use.positions)), ())
    if not mine:
        return use
    found = [new for new in (renaming.apply(use) for renaming in mine) if new is not None]
    if found:
        return found[0]
    for renaming in mine:
        if may_meet(renaming.old, use.positions):
            where = ",".join(map(str, use.positions))
            refuse_rename(
                problems,
                renaming.statement.old,
                f"`{format_symbol(renaming.statement.old)}` is one of the parameters `{use.name}@{where}`",
                "not all of them",
                f"rename them together: `rename {use.name}@{where} → …`",
                Label(use.span, "they stand here"),
            )
    return use


def may_meet(one: Positions, other: Positions) -> bool:
    return all(a.base is not None or b.base is not None or a == b for a, b in zip(one, other, strict=True))


def resolve_renames(words: Words) -> list[Renaming]:
    declared, problems = words.names.declared, words.problems
    given: dict[tuple[str, Positions], tree.Rename] = {}
    found: list[Renaming] = []
    for statement in words.names.renames:
        old, new = statement.old, statement.new
        if old.name in declared:
            help = "change it where it is declared, and where it is used"
            refuse_rename(problems, old, f"`{old.name}` gets its name from its declaration", "is declared", help)
            continue
        if new.name in declared or new.name in BUILTINS:
            refuse_rename(
                problems, new, f"`{new.name}` is the name of something else", "already taken", "choose another name"
            )
            continue
        names = frozenset(i.name for i in old.tag if i.name and not words.names.is_constant(i.name))
        positions = words.tags.positions(old, names), words.tags.positions(new, names)
        if positions[0] is None or positions[1] is None:
            continue
        earlier = given.setdefault((old.name, positions[0]), statement)
        if earlier is not statement:
            label = Label(earlier.old.span, "renamed first")
            message, help = f"`{format_symbol(old)}` is renamed twice", "keep one of the two"
            problems.report("E0203", message, old.span, "renamed again", help, label)
        else:
            found.append(Renaming(statement, positions[0], positions[1]))
    return found


def check_renamed(expansion: Expansion, problems: Problems) -> None:
    """Report where a new name would make one parameter of two. Raises CldfError then: nothing else can be said."""
    renames = {s.new.name: s for s in expansion.program.spec.statements if isinstance(s, tree.Rename)}
    seen: dict[Key, tuple[object, int, int]] = {}
    for operation in expansion.operations:
        key = operation.parameter
        if key is None or key[0] not in renames:
            continue
        place = (operation.span, operation.instance, operation.step)
        if seen.setdefault(key, place) != place:
            statement = renames.pop(key[0])
            message = f"`{format_key(key)}` would name two parameters"
            help = "give each its own name, and a tag with all indices that the old one has"
            refuse_rename(
                problems, statement.new, message, "not one for each", help, Label(operation.span, "one of the two")
            )
            problems.stop_if_any()


def refuse_rename(problems: Problems, symbol: tree.Symbol, message: str, label: str, help: str, *others: Label) -> None:
    problems.report("E0220", message, symbol.span, label, help, *others)
