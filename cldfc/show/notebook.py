"""What a notebook or a Python prompt shows of a network."""

from __future__ import annotations

import base64
import html
import io
from importlib import import_module
from typing import Any

from cldfc.console import Console
from cldfc.network.graph import Graph
from cldfc.show.terminal import show_network

TEXT_WIDTH, HTML_WIDTH = 80, 110
PRE = '<pre style="line-height: 1.2; font-family: monospace; overflow-x: auto">{code}</pre>'


def picture_html(graph: Graph, svg: str) -> str:
    """A network for a notebook: its picture, an image so that styles stay apart, and what else the terminal prints."""
    data = base64.b64encode(svg.encode()).decode()
    image = f'<img alt="{html.escape(graph.program.model)}" src="data:image/svg+xml;base64,{data}"/>'
    console = Console(io.StringIO(), width=HTML_WIDTH, record=True, force_jupyter=False)
    show_network(graph, console, is_drawn=False)
    return f"<div>{image}\n{console.export_html(code_format=PRE, inline_styles=True)}</div>"


def picture_text(graph: Graph) -> str:
    console = plain_console()
    show_network(graph, console)
    return printed_text(console)


def preformatted(text: str) -> str:
    return PRE.format(code=html.escape(text))


def plain_console() -> Console:
    return Console(io.StringIO(), width=TEXT_WIDTH, color_system=None, force_jupyter=False)


def printed_text(console: Console) -> str:
    """What such a console has printed, without white space at the ends of lines."""
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())


def is_notebook() -> bool:
    return Console(io.StringIO()).is_jupyter


def put_out(value: object) -> None:
    """Show a value below the cell, as one output."""
    display: Any = import_module("IPython.display")
    display.display(value)
