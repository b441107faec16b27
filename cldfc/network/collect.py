"""The statements of a spec, sorted by what they declare; what is declared twice or missing is reported."""

from __future__ import annotations

from cldfc.diagnostics import Label, Problems, Span
from cldfc.network.names import Declaration, Names
from cldfc.ops import BUILTINS
from cldfc.syntax import tree
from cldfc.syntax.keywords import EXAMPLES, STATEMENTS, WORDS_INSIDE


def collect_names(spec: tree.Tree, problems: Problems) -> Names:
    names = Names(problems)
    for statement in spec.statements:
        match statement:
            case tree.Model():
                refuse_second(names, "model", names.model, statement.span)
                names.model = names.model or statement
            case tree.Output():
                refuse_second(names, "output", names.output, statement.name_span)
                names.output = names.output or statement
            case tree.Equation():
                name, arity = statement.left.name, len(statement.left.tag)
                if (name, arity) not in names.families:
                    names.by_name.setdefault(name, []).append(arity)
                names.families.setdefault((name, arity), []).append(statement)
            case tree.Tie():
                names.ties.append(statement)
            case tree.Rename():
                names.renames.append(statement)
            case tree.Constrain():
                names.constraints.append(statement)
            case tree.Let() | tree.KernelStatement() | tree.Scalar() | tree.Range() | tree.InputStatement():
                declare(names, statement)
            case _:
                # What it says is read where it is checked, and declares no name.
                pass
    report_clashes(names)
    return names


def declare(names: Names, statement: Declaration) -> None:
    name, span = declared_name(statement)
    if isinstance(statement, tree.InputStatement):
        refuse_second(names, "input", names.input, span)
        if names.input is not None:
            names.problems.broken.add(name)
        names.input = names.input or statement
    if is_taken(names, name, span):
        return
    if (earlier := names.declared.get(name)) is not None:
        message = f"`{name}` is declared twice"
        help = "remove one of the two, or give it another name"
        names.problems.report(
            "E0203", message, span, "declared again", help, Label(declared_name(earlier)[1], "declared first")
        )
    else:
        names.declared[name] = statement


def is_taken(names: Names, name: str, span: Span) -> bool:
    """Whether a name is one of the language's own, which is reported."""
    if name not in BUILTINS and name not in STATEMENTS and name not in WORDS_INSIDE:
        return False
    what = "a built-in operator" if name in BUILTINS else "a word of the language"
    names.problems.report("E0204", f"`{name}` is {what}", span, "already taken", "choose another name")
    return True


def declared_name(statement: Declaration) -> tuple[str, Span]:
    match statement:
        case tree.Let(symbol) | tree.KernelStatement(symbol) | tree.Scalar(symbol):
            return symbol.name, symbol.span
        case tree.Range(_, name) | tree.InputStatement(name):
            return name, statement.name_span


def refuse_second(
    names: Names, keyword: str, earlier: tree.Model | tree.Output | tree.InputStatement | None, span: Span
) -> None:
    if earlier is not None:
        before = earlier.span if isinstance(earlier, tree.Model) else earlier.name_span
        message = f"there is a second `{keyword}`"
        names.problems.report("E0203", message, span, "the second", "keep one of the two", Label(before, "the first"))


def report_clashes(names: Names) -> None:
    """Equations may not define what a declaration already says."""
    for equation in (equations[0] for equations in names.families.values()):
        left, earlier = equation.left, names.declared.get(equation.left.name)
        if is_taken(names, left.name, left.span):
            continue
        if earlier is not None and not (isinstance(earlier, tree.InputStatement) and left.tag):
            message = f"`{left.name}` is declared, so no equation may define it"
            help = "give one of the two another name"
            names.problems.report(
                "E0203", message, left.span, "defined again", help, Label(declared_name(earlier)[1], "declared here")
            )
            names.problems.lost = True


def report_missing(names: Names, end: Span) -> None:
    present = {"model": names.model, "input": names.input, "output": names.output}
    missing = [word for word, found in present.items() if found is None and not names.problems.explain(word)]
    if missing:
        message = f"there is no {', no '.join(f'`{word}`' for word in missing)} statement"
        names.problems.report("E0301", message, end, "missing", f"add {', '.join(EXAMPLES[word] for word in missing)}")
