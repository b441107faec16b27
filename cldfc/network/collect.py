"""The statements of a spec, sorted by what they declare; what is declared twice or missing is reported."""

from __future__ import annotations

from cldfc.diagnostics import Label, Problems, Span
from cldfc.network.names import Declaration, Names
from cldfc.ops import BUILTINS
from cldfc.syntax import tree
from cldfc.syntax.keywords import EXAMPLES, STATEMENTS, WORDS_INSIDE


def collect_names(spec: tree.Tree, problems: Problems) -> Names:
    """Sort the statements by what they declare; report what is declared twice or missing."""
    names = Names(problems)
    for statement in spec.statements:
        match statement:
            case tree.Model():
                once(names, "model", names.model, statement.span)
                names.model = names.model or statement
            case tree.Output():
                once(names, "output", names.output, statement.name_span)
                names.output = names.output or statement
            case tree.Equation():
                names.add_equation(statement)
            case tree.Tie():
                names.ties.append(statement)
            case tree.Rename():
                names.renames.append(statement)
            case tree.Constrain():
                names.constraints.append(statement)
            case tree.Expect():
                names.expectations.append(statement)
            case tree.Version() | tree.Extend():
                pass
            case _:
                declare(names, statement)
    report_clashes(names)
    return names


def declare(names: Names, statement: Declaration) -> None:
    """Enter a `let`, `kernel`, `scalar`, `levels`, `steps` or `input`."""
    name, span = head(statement)
    if isinstance(statement, tree.InputStatement):
        once(names, "input", names.input, span)
        if names.input is not None:
            names.problems.broken.add(name)
        names.input = names.input or statement
    if is_taken(names, name, span):
        return
    if (earlier := names.declared.get(name)) is not None:
        names.problems.report(
            "E0203",
            f"`{name}` is declared twice",
            span,
            "declared again",
            "remove one of the two, or give it another name",
            Label(head(earlier)[1], "declared first"),
        )
    else:
        names.declared[name] = statement


def is_taken(names: Names, name: str, span: Span) -> bool:
    """Whether the language has a name for itself, and a report."""
    if name not in BUILTINS and name not in STATEMENTS and name not in WORDS_INSIDE:
        return False
    what = "a built-in operator" if name in BUILTINS else "a word of the language"
    names.problems.report("E0204", f"`{name}` is {what}", span, "already taken", "choose another name")
    return True


def head(statement: Declaration) -> tuple[str, Span]:
    """The name that a declaration introduces, and where."""
    match statement:
        case tree.Let(symbol) | tree.KernelStatement(symbol) | tree.Scalar(symbol):
            return symbol.name, symbol.span
        case tree.Range(_, name) | tree.InputStatement(name):
            return name, statement.name_span


def once(
    names: Names, keyword: str, earlier: tree.Model | tree.Output | tree.InputStatement | None, span: Span
) -> None:
    """Report a second `model`, `input` or `output`."""
    if earlier is not None:
        before = earlier.span if isinstance(earlier, tree.Model) else earlier.name_span
        names.problems.report(
            "E0203",
            f"there is a second `{keyword}`",
            span,
            "the second",
            "keep one of the two",
            Label(before, "the first"),
        )


def report_clashes(names: Names) -> None:
    """Equations may not define what a declaration already says."""
    for equation in (equations[0] for equations in names.families.values()):
        left, earlier = equation.left, names.declared.get(equation.left.name)
        if is_taken(names, left.name, left.span):
            continue
        if earlier is not None and not (isinstance(earlier, tree.InputStatement) and left.tag):
            names.problems.report(
                "E0203",
                f"`{left.name}` is declared, so no equation may define it",
                left.span,
                "defined again",
                "give one of the two another name",
                Label(head(earlier)[1], "declared here"),
            )
            names.problems.lost = True


def report_missing(names: Names, end: Span) -> None:
    """Report the statements that every spec has, and this one has not."""
    present = {"model": names.model, "input": names.input, "output": names.output}
    missing = [word for word, found in present.items() if found is None and not names.problems.explain(word)]
    if missing:
        names.problems.report(
            "E0301",
            f"there is no {', no '.join(f'`{word}`' for word in missing)} statement",
            end,
            "missing",
            f"add {', '.join(EXAMPLES[word] for word in missing)}",
        )
