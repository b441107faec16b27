"""Tree → program: names, constants and ranges are resolved, equations become steps."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cldfc.diagnostics import Label, Problems, Source, Span, UsageError
from cldfc.network.constants import Constants, Tags, check_order, resolve_clause
from cldfc.network.declarations import (
    collect_names,
    rename_uses,
    report_missing,
    resolve_parameters,
    resolve_ties,
)
from cldfc.network.elaborate import Elaboration, mode_of, read_cases
from cldfc.network.ends import Ends, GivenShape, state_sizes, with_classes
from cldfc.network.names import Names, indices_in_words
from cldfc.network.positions import (
    MOST_OPERATIONS,
    Binding,
    IndexRange,
    Lookup,
    Position,
    Positions,
    report_size,
)
from cldfc.network.program import (
    Call,
    Operand,
    OwnedNames,
    Program,
    Read,
    Reads,
    Scope,
    Step,
    Template,
    Turns,
    Use,
    Words,
)
from cldfc.ops import BUILTINS
from cldfc.record import record
from cldfc.syntax import tree
from cldfc.syntax.format import format_symbol
from cldfc.syntax.keywords import is_reserved
from cldfc.syntax.recall import Copier, copier
from cldfc.syntax.spelling import ascii_name
from cldfc.syntax.walk import children, mentions


@dataclass(frozen=True)
class Changes:
    """Shapes and classes other than the spec's own, and statements that replace some of the spec's."""

    shape: GivenShape | None = None
    """Of the only input."""
    classes: int | None = None
    statements: tuple[Source, ...] = ()
    """What replaces the spec's own: `let ν = 3,4,6,3`, `tie A@ℓ`."""
    inputs: tuple[tuple[str, GivenShape], ...] = ()
    """Shapes of inputs by name."""

    @property
    def shapes(self) -> dict[str, GivenShape]:
        return {**({"": self.shape} if self.shape else {}), **dict(self.inputs)}

    def on(self, data: str, shape: GivenShape, classes: int) -> Changes:
        """The same on a data set. Raises UsageError when that contradicts what is asked for."""
        if self.shape not in (None, shape) or self.classes not in (None, classes):
            sizes = "×".join(map(str, shape))
            help = "leave out `--input` and `--classes`: the data set says both"
            raise UsageError(f"the images of `{data}` are {sizes}, in {classes} classes", help)
        return Changes(shape, classes, self.statements)


def resolve_spec(spec: tree.Tree, changes: Changes, problems: Problems) -> Program:
    """Resolve a whole spec; wrong equations stay in it without steps.

    Raises CldfError with everything that is wrong, when there is no network to speak of.
    """
    names = collect_names(spec, problems)
    _check_model(names)
    _check_indices(names)
    check_order(names, problems)
    constants = Constants(names, problems)
    tags = Tags(constants, problems)
    for name, declaration in names.declared.items():
        if isinstance(declaration, tree.Range):
            constants.range(name, declaration.name_span)
    for name, declaration in names.declared.items():
        if names.is_constant(name):
            constants.constant(name) if isinstance(declaration, tree.Let) else constants.formula_of(name)
    for name in names.members:
        constants.cases(name)
    parameters = resolve_parameters(tags)
    ties = resolve_ties(names.ties, parameters, tags)
    owned = OwnedNames(frozenset({*names.declared, *_tagged_operators(spec)}))
    families = OwnedNames(frozenset({*names.declared, *names.by_name}))
    words = Words(names, tags, owned, parameters, ties, problems, families)
    settled = _settle_names(_merge_readings([*_resolve_equations(spec, words), *words.inner]), words)
    templates = rename_uses(list(settled), words)
    _check_operators(words)
    ends = Ends(names, tags)
    inputs, outputs = ends.inputs(), ends.outputs()
    end = len(spec.source.text.rstrip())
    report_missing(names, Span(spec.source, end, end))
    if names.model is None or len(inputs) != len(names.inputs) or len(outputs) != len(names.outputs):
        problems.stop_if_any()
    assert names.model
    inputs, outputs = state_sizes(inputs, with_classes(outputs, changes.classes), changes.shapes)
    ranges = {n: r for n, r in constants.ranges.items() if r is not None}
    return Program(
        spec=spec,
        model=names.model.name,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        constants={n: c for n, c in constants.known.items() if c is not None},
        ranges={**{r.name: r for t in templates for r in _local_ranges(t)}, **ranges},
        parameters=parameters,
        ties=ties,
        templates=tuple(templates),
        constraints=tuple((c, at) for c in names.constraints if (at := _constrained(c, tags)) is not None),
    )


def _local_ranges(template: Template) -> Iterator[IndexRange]:
    """The ranges of index names that an equation itself introduces: by `for`, or in a reduction."""
    yield from template.ranges.values()
    for operand in template.reads:
        if isinstance(operand, Reads):
            ends = operand.lower, operand.upper
            yield IndexRange("steps", operand.name, *ends, None, operand.span, is_explicit=True, by=operand.by)


# Equations


def _resolve_equations(spec: tree.Tree, words: Words) -> Iterator[Template | _Copy]:
    steps, alike = 0, _Alike(spec, words)
    for equation in spec.statements:
        if isinstance(equation, tree.Equation):
            copy = alike.copy(equation)
            if copy is not None:
                templates = [copy]
                steps += len(copy.first.template.steps)
            else:
                known, works = len(words.inner), list[Elaboration]()
                found = _resolve_equation(equation, words, works)
                if found is None:
                    words.problems.broken.add(equation.left.name)
                    continue
                if len(found) == 1 and known == len(words.inner):
                    alike.keep(found[0], works[-1])
                templates = found
                steps += sum(len(template.steps) for template in found)
            if steps > MOST_OPERATIONS:
                report_size(equation.left.span, words.problems)
                return
            yield from templates


@dataclass(eq=False, slots=True)
class _First:
    """An equation that others may be like, for what it has claimed names, and what makes copies of it."""

    template: Template
    claims: Sequence[tuple[str, str, str]]
    is_asked: bool = False
    copier: Copier | None = None


@record
class _Copy:
    """An equation that becomes a copy of an earlier one, once names are settled."""

    first: _First
    equation: tree.Equation
    likeness: tree.Likeness
    claimed: tuple[str, ...]

    def made(self, settled: Mapping[str, str]) -> Template:
        likeness, first = self.likeness, self.first
        if first.copier is None:
            words = (*likeness.names_of_first, *[name for _, _, name in first.claims], likeness.first)
            first.copier = copier(first.template, words, likeness.place_of_first, _COPIED.__contains__)
        names = (*likeness.names, *[settled[name] for name in self.claimed], self.equation)
        return first.copier(names, self.equation.span.source, likeness.by)


_COPIED = {Template, Step, Read, Use, Call}


@dataclass
class _Alike:
    """Equations that were read alike mean the same, too, where their names stand for the same: `x6 = relu(x5)` is
    `x5 = relu(x4)` with other names if x6 has as many indices as x5, and so on.

    Only while nothing is wrong: an error is found anew at each place.
    """

    spec: tree.Tree
    words: Words
    firsts: dict[int, _First] = field(default_factory=dict[int, _First])
    """By the identity of their statements."""
    kinds: dict[str, Hashable] = field(default_factory=dict[str, Hashable])

    def __post_init__(self) -> None:
        self.wanted = {id(likeness.first) for likeness in self.spec.likenesses.values()}
        self.multiples = self.words.names.multiples.known_names()

    @property
    def is_wrong(self) -> bool:
        problems = self.words.problems
        return bool(problems.found or problems.broken or problems.lost)

    def keep(self, template: Template, work: Elaboration) -> None:
        """Take note of an equation that was elaborated, if others are like it and can be copies."""
        is_plain = template.result is not None and template.turns is None and not template.statement.clauses
        if id(template.statement) in self.wanted and is_plain and not self.is_wrong:
            self.firsts[id(template.statement)] = _First(template, work.claims)

    def copy(self, equation: tree.Equation) -> _Copy | None:
        likeness = self.spec.likeness(equation)
        first = None if likeness is None else self.firsts.get(id(likeness.first))
        if likeness is None or first is None or self.is_wrong:
            return None
        names = dict(zip(likeness.names_of_first, likeness.names, strict=True))
        for old, new in names.items():
            if old != new and self.kind(old) != self.kind(new):
                return None
        if not first.is_asked and _reads_elsewhere(first.template, likeness):
            del self.firsts[id(likeness.first)]
            return None
        first.is_asked = True
        family, here = (equation.left.name, len(equation.left.tag)), dict[str, int]()
        claims = ((kind, names.get(head, head)) for kind, head, _ in first.claims)
        claimed = tuple([self.words.owned.claim(kind, head, family, here) for kind, head in claims])
        return _Copy(first, equation, likeness, claimed)

    def kind(self, name: str) -> Hashable:
        """What a name stands for, as far as an equation depends on it; names that are alike have the same."""
        found = self.kinds.get(name)
        if found is None:
            found = self.kinds[name] = self.kind_of(name)
        return found

    def kind_of(self, name: str) -> Hashable:
        names = self.words.names
        if name in names.declared or name in BUILTINS:
            kernel, declaration = names.declared.get(name), self.words.parameters.get(name)
            if not isinstance(kernel, tree.KernelStatement) or declaration is None:
                return name
            if declaration.cases or name in self.words.ties:
                return name
            way = declaration.start, declaration.rules, mode_of(declaration)
            return kernel.is_fixed, declaration.indices, declaration.transfer, *way
        arities = names.arities(name)
        return name if name in self.multiples or name in names.unknowns or not arities else tuple(arities)


def _reads_elsewhere(template: Template, likeness: tree.Likeness) -> bool:
    """Whether an operator that is declared elsewhere speaks of a name that stands in the equation, too."""
    place = likeness.place_of_first
    reads = [(read.family, read.span) for read in template.reads]
    uses = [(use.name, use.span) for step in template.steps for use in step.uses()]
    outside = {name for name, span in reads + uses if not span.is_within(place)}
    return not outside.isdisjoint(likeness.names_of_first)


def _resolve_equation(equation: tree.Equation, words: Words, works: list[Elaboration]) -> list[Template] | None:
    """An equation as steps over the index names of its left side, and how they were found; None when it is wrong.

    Where an operator has several declarations, there is one reading of it for each choice between them.
    """
    tags = words.tags
    if equation.left.settings:
        message = "the left side of an equation takes no brackets: it defines all channels of a value"
        help = f"write `{format_symbol(replace(equation.left, settings=()))} = …`, and join parts by `concat(x, y)`"
        return words.problems.report("E0507", message, equation.left.span, "brackets here", help)
    if _report_forgotten_tag(equation, tags):
        return None
    bound = _bound_names(equation, tags)
    left = None if bound is None else tags.positions(equation.left, frozenset(bound))
    if bound is None or left is None:
        _check_right_side(equation, words)
        return None
    clauses = [
        resolve_clause(clause, frozenset(bound), equation.left.tag, tags.constants) for clause in equation.clauses
    ]
    level = _level_position(equation, left, tags)
    if None in clauses or level is None or any(_report_nothing_left(clause, tags) for clause in clauses if clause):
        return None
    ranges = {clause.name: clause for clause in clauses if clause is not None}
    ranges = {name: ranges.get(name) or tags.constants.ranges[name] for name in bound}
    known = {name: range for name, range in ranges.items() if range is not None}
    scope = Scope({name: Position(name, 0) for name in bound}, equation.left.tag)
    found: list[Template] = []

    def start(turns: list[Binding] | None) -> Elaboration:
        return Elaboration(words, equation, (equation.left.name, len(left)), left, bound, known, level, turns=turns)

    def read(work: Elaboration) -> None:
        template = work.template(work.value(equation.right, scope))
        found.extend([] if template is None else [template])
        words.inner += work.terms
        works.append(work)

    read_cases(start, read)
    return found


def _merge_readings(templates: Sequence[Template | _Copy]) -> list[Template | _Copy]:
    """Merge readings of one equation that differ only in arguments of modules or calls, so that they are one loop."""
    merged: list[Template | _Copy] = []
    found: dict[Hashable, list[Template]] = {}
    places: dict[Hashable, int] = {}
    for template in templates:
        if isinstance(template, _Copy) or not template.turns:
            merged.append(template)
            continue
        steps = tuple(_without_settings(step) for step in template.steps)
        same = id(template.statement), template.family, template.result, template.lacks, steps
        if same not in found:
            places[same] = len(merged)
            merged.append(template)
        found.setdefault(same, []).append(template)
    for same, readings in found.items():
        if len(readings) > 1:
            merged[places[same]] = _merged(readings)
    return merged


def _without_settings(step: Step) -> Step:
    """A step without the settings that may differ in one loop."""
    operator, names = step.operator, [name for name, _ in step.settings]
    allowed = (*operator.of_module, operator.of_call)
    if not names or not all(name in allowed and isinstance(getattr(operator, name), int | float) for name in names):
        return step
    return replace(step, operator=replace(operator, **dict.fromkeys(names)))


def _merged(templates: Sequence[Template]) -> Template:
    turns = [template.turns for template in templates if template.turns is not None]
    values = frozenset[tuple[int, ...]]().union(*(each.values for each in turns))
    return replace(templates[0], turns=Turns(turns[0].names, values), readings=tuple(templates))


def _settle_names(templates: Sequence[Template | _Copy], words: Words) -> Iterator[Template]:
    families = words.families.settle({})
    parameters = words.owned.settle(families)

    def settled(operand: Operand) -> Operand:
        return (
            operand
            if isinstance(operand, int)
            else replace(operand, family=families.get(operand.family, operand.family))
        )

    def is_settled(operand: Operand) -> bool:
        return isinstance(operand, int) or operand.family not in families

    for template in templates:
        if isinstance(template, _Copy):
            yield template.made(parameters)
            continue
        if template.readings:
            template = replace(template, readings=tuple(_settle_names(template.readings, words)))
        uses = [use.name for step in template.steps for use in step.uses()]
        named = [template.family, *uses, *(read.family for read in template.reads)]
        if parameters.keys().isdisjoint(named) and families.keys().isdisjoint(named):
            yield template
            continue
        steps: list[Step] = []
        for step in template.steps:
            own = [use.name for use in step.uses()]
            if parameters.keys().isdisjoint(own) and all(map(is_settled, step.operands)):
                steps.append(step)
                continue
            use, statistics = (
                use and replace(use, name=parameters.get(use.name, use.name)) for use in (step.use, step.statistics)
            )
            steps.append(replace(step, operands=tuple(map(settled, step.operands)), use=use, statistics=statistics))
        result = None if template.result is None else settled(template.result)
        assert not isinstance(result, Reads)
        family = families.get(template.family, template.family)
        yield replace(template, family=family, steps=tuple(steps), result=result)


def _report_nothing_left(clause: IndexRange, tags: Tags) -> bool:
    """Whether a clause like `for i <= 0` of i = 1..ν leaves nothing, which is reported; the declared range ends it.

    `for i >= 2` of i = 1..ν with ν = 1 is another matter: with so few steps the equation has nothing to define.
    """
    declared = tags.constants.ranges.get(clause.name)
    lower = clause.least or (declared and declared.least)
    upper = clause.most or (declared and declared.most)
    if declared is None or lower is None or upper is None or (clause.lower and clause.upper):
        return False
    if lower.base is not None or upper.base is not None or lower.offset <= upper.offset:
        return False
    written = tags.constants.names.declared[clause.name]
    assert isinstance(written, tree.Range)
    is_up = (clause.most is None) == (declared.by > 0)
    if not isinstance(written.upper if is_up else written.lower, tree.Number):
        return False
    ends = f"{clause.name} = {declared.ends()}"
    other = upper.offset if clause.least is None else lower.offset
    message = f"`{clause.span.text}` leaves no value of {ends}"
    help = f"write other values outright, as in `for {clause.name} = {other}`"
    tags.problems.report(
        "E0505", message, clause.span, "no value of the index", help, Label(declared.span, "declared here")
    )
    return True


def _constrained(constraint: tree.Constrain, tags: Tags) -> Positions | None:
    indices = [
        index for index in constraint.symbol.tag if index.name and not tags.constants.names.is_constant(index.name)
    ]
    if None in [tags.constants.range(index.name or "", index.span) for index in indices]:
        return None
    return tags.positions(constraint.symbol, frozenset(index.name or "" for index in indices))


def _check_right_side(equation: tree.Equation, words: Words) -> None:
    """Report what is wrong on the right of an equation whose left side is wrong."""
    names = tuple(dict.fromkeys(index.name for index in equation.left.tag if index.name))
    scope = Scope({name: Position(name, 0) for name in names}, equation.left.tag)
    family = (equation.left.name, len(equation.left.tag))
    Elaboration(words.alone(), None, family, (), names).value(equation.right, scope)


def _report_forgotten_tag(equation: tree.Equation, tags: Tags) -> bool:
    """Whether the left side lacks an index of the right side, which is reported.

    In `u@i = u@ℓ,i-1 + …`, `u@ℓ,i` is meant; in `ui = u@i-1 + …`, `u@i`.
    """
    left, names = equation.left, tags.constants.names
    if not tags.constants.ranges:
        return False
    spoken = [found.name for found in mentions(equation.right) if isinstance(found, tree.Index) and found.name]
    own = {index.name for index in left.tag}
    free = [name for name in dict.fromkeys(spoken) if isinstance(names.declared.get(name), tree.Range)]
    free = [name for name in free if name not in own]
    if not free:
        return False
    if not left.tag:
        meant = names.tagged(left.name)
    else:
        head = names.head_of(left.name)[0]
        is_shorter = len(left.tag) < len(head.tag) == len({*own, *free})
        meant = format_symbol(names.generic(head)) if is_shorter and None not in own else None
    if meant is None:
        return False
    message = (
        f"`{left.span.text}` has {indices_in_words(left)}, but its equation uses {' and '.join(f'`{n}`' for n in free)}"
    )
    help = f"did you mean `{meant} = …`?" + (" an index is written after `@`" if not left.tag else "")
    tags.problems.report("E0206", message, left.span, f"{indices_in_words(left)} here", help)
    tags.problems.broken.add(meant.split("@")[0])
    return True


def _bound_names(equation: tree.Equation, tags: Tags) -> tuple[str, ...] | None:
    constants = tags.constants
    named = [index for index in equation.left.tag if index.name and not constants.names.is_constant(index.name)]
    given = {clause.name for clause in equation.clauses}
    ranges = [constants.range(index.name or "", index.span) for index in named if index.name not in given]
    return None if None in ranges else tuple(dict.fromkeys(index.name or "" for index in named))


def _level_position(equation: tree.Equation, left: Positions, tags: Tags) -> int | None:
    given = {clause.name for clause in equation.clauses}
    bases = [p.base if isinstance(p.base, str) else "" for p in left]
    ranges = [None if base in given else tags.constants.ranges.get(base) for base in bases]
    dependent: list[IndexRange] = [range for range in ranges if range is not None and range.level is not None]
    for at, position in enumerate(left):
        if dependent and position.base == dependent[0].level:
            return at
    levels = [at for at, base in enumerate(bases) if _is_levels(tags.constants.ranges.get(base))]
    if levels and not dependent:
        return levels[0]
    for at, range in enumerate(ranges):
        if range is None or range.level is None:
            if not isinstance(left[at].base, Lookup) and bases[at] not in given:
                return at
    if not dependent:
        return 0
    return tags.problems.report(
        "E0207",
        f"the range of `{dependent[0].name}` differs from level to level, and "
        f"`{format_symbol(equation.left)}` does not name a level",
        equation.left.span,
        "at which level?",
        f"write the level into the tag: `{equation.left.name}@{dependent[0].level},{dependent[0].name}`",
        Label(dependent[0].span, "declared here"),
    )


def _is_levels(range: IndexRange | None) -> bool:
    return range is not None and range.kind == "levels"


# Names that Python has


def _check_indices(names: Names) -> None:
    """Report indices whose loop variables in Python would be reserved words, or the same."""
    taken: dict[str, tree.Range] = {}
    for range in names.declared.values():
        if not isinstance(range, tree.Range):
            continue
        name = "level" if range.name == "ℓ" else ascii_name(range.name)
        earlier = taken.setdefault(name, range)
        if is_reserved(name) or earlier is not range:
            names.problems.report(
                "E0204",
                f"no index can be called `{range.name}`: its loop variable in Python would be `{name}`, which is taken",
                range.name_span,
                "already taken",
                "choose another name",
                *[Label(earlier.name_span, "taken by this index")] * (earlier is not range),
            )


def _check_model(names: Names) -> None:
    """The generated class has the model's name, which must not hide what its module needs."""
    model = names.model
    if model is None:
        return
    name = ascii_name(model.name)
    if is_reserved(name):
        message = f"no network can be called `{model.name}`: its class in Python would be `{name}`, which is taken"
        help = f"choose another name, such as `{name.capitalize()}Net`"
        names.problems.report("E0204", message, model.span, "already taken", help)


# Operators


def _tagged_operators(spec: tree.Tree) -> set[str]:
    """The built-in operators that a tag shares somewhere; untagged ones may not take their names."""
    found, waiting, present = set[str](), list[object](), set(map(id, spec.statements))
    for statement in spec.statements:
        likeness = spec.likeness(statement)
        is_like = likeness is not None and id(likeness.first) in present and BUILTINS.keys().isdisjoint(likeness.names)
        waiting += [] if is_like else [statement]
    while waiting:
        node = waiting.pop()
        if isinstance(node, tree.Symbol) and node.tag:
            found.add(node.name)
        waiting += children(node)
    return found & BUILTINS.keys()


def _check_operators(words: Words) -> None:
    """Operators are checked where they stand, used or not."""
    names, problems = words.names, words.problems
    for let in (statement for name in names.declared for statement in names.statements_of(name)):
        if not isinstance(let, tree.Let) or names.is_constant(let.symbol.name) or problems.explain(let.symbol.name):
            continue
        first, *others = let.values
        if others:
            message = f"`{let.symbol.name}` is given several operators"
            problems.report("E0211", message, others[0].span, "expected the end", "compose them with `∘`")
        cases = words.tags.constants.cases(let.symbol.name)
        case = next((case for case in cases if case.statement is let), None)
        if case is not None:
            head = tuple(position.base for position in case.head if isinstance(position.base, str))
        else:
            head = words.tags.head(let.symbol)
        if head is not None:
            scope = Scope({name: Position(name, 0) for name in head}, let.symbol.tag)
            work = Elaboration(words.alone(), None, ("", 0), (), head)
            if let.arguments:
                given = {argument.name: Read(argument.name, (), argument.span) for argument in let.arguments}
                work.value(first, replace(scope, arguments=given))
            else:
                work.apply(first, Read("x", (), let.span), scope)
