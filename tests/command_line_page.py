"""docs/command-line.md: what a person wrote, then what the commands say of themselves."""

import re

from networks import ROOT
from typer import Context
from typer.core import TyperGroup
from typer.main import get_command

from cldfc.cli import app
from cldfc.cli.help import load_command, text_of

PAGE = ROOT / "docs" / "command-line.md"
MARK = "<!-- From here on the page is written from the commands: `make golden`. -->\n"


def commands():
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    return {name: load_command(name) for name in group.list_commands(Context(group))}


def is_option(parameter):
    return parameter.opts[0].startswith("-")


def flag(parameter):
    """`-o`, `--output` FILE."""
    names = ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])
    if not is_option(parameter):
        return f"`{parameter.metavar}`" + ("…" if parameter.nargs == -1 else "")
    value = "" if parameter.is_flag else f" {parameter.metavar or 'N'}".replace("|", r"\|")
    return names + value + ("; may be repeated" if parameter.multiple else "")


def help_of(parameter):
    default = parameter.default
    is_there = default is not None and default is not False and not callable(default)
    said = is_there and parameter.show_default is not False
    needed = " Must be given." if parameter.required and is_option(parameter) else ""
    return text_of(parameter) + needed + (f" By default {default}." if said else "")


def common():
    """The options that several commands have, with the same help; once each."""
    found = {}
    for name, command in commands().items():
        for parameter in filter(is_option, command.params):
            found.setdefault((flag(parameter), help_of(parameter)), []).append(name)
    return {key: names for key, names in found.items() if len(names) > 1}


def paragraphs(text):
    """The docstring without its example, code in it as code."""
    return re.sub(r"(?<!`)(--\w[\w-]*)(?!`)", r"`\1`", text.split("Example:")[0].strip())


def example(command):
    found = re.search(r"Example: (.*)", command.help)
    assert found is not None
    return found.group(1)


def section(name, command, shared):
    lines = [f"## {name}", "", paragraphs(command.help), "", "```", example(command), "```", ""]
    rows = [(flag(p), help_of(p)) for p in command.params if "--help" not in p.opts]
    own = [row for row in rows if row not in shared]
    lines += ["| | |", "|---|---|", *(f"| {what} | {help} |" for what, help in own), ""] if own else []
    also = [re.findall(r"`--[\w-]+`", what)[0] for what, help in rows if (what, help) in shared]
    return [*lines, *([f"Also {', '.join(also)}.", ""] if also else [])]


def command_line_page():
    shared = common()
    rows = [f"| {what} | {help} |\n" for what, help in shared]
    sections = [line for name, command in commands().items() for line in section(name, command, shared)]
    written, mark, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    head = "\n## Options that mean the same everywhere\n\n| | |\n|---|---|\n"
    return written + mark + head + "".join(rows) + "\n" + "\n".join(sections).rstrip() + "\n"
