"""Pieces of an HTML page that needs neither a network nor scripts."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from html import escape
from importlib.resources import files

from cldfc.output import printable


def page(title: str, about: Iterable[str], body: str) -> str:
    """The whole document, with lines below its title."""
    style = files("cldfc.train").joinpath("report.css").read_text(encoding="utf-8")
    lines = "\n".join(f'<p class="about">{in_html(line)}</p>' for line in about)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{in_html(title)}</title>
<style>{style}</style>
</head>
<body>
<h1>{in_html(title)}</h1>
{lines}
{body}
</body>
</html>
"""


def in_html(text: str) -> str:
    """A text on one line of HTML."""
    return escape(printable(text))


def section(title: str, body: str) -> str:
    """A heading and what stands below it; nothing where that is nothing."""
    return f"<section>\n<h2>{in_html(title)}</h2>\n{body}\n</section>" if body else ""


def table(rows: Mapping[str, str]) -> str:
    """Names and values, a row each."""
    cells = (f"<tr><th>{in_html(k)}</th><td>{in_html(v)}</td></tr>" for k, v in rows.items())
    return "\n".join(["<table>", *cells, "</table>"])


def image(svg: str) -> str:
    """A picture that keeps its styles to itself; nothing without one."""
    if not svg:
        return ""
    data = b64encode(svg.encode()).decode()
    return (
        f'<p class="wide picture"><img class="network" alt="the network" src="data:image/svg+xml;base64,{data}"></p>\n'
    )


def preformatted(text: str, kind: str = "text") -> str:
    """Text as it is."""
    lines = "\n".join(map(in_html, text.split("\n")))
    return f'<pre class="{kind}">{lines}</pre>' if text else ""


def folded(summary: str, body: str) -> str:
    """Something that is seen when it is asked for; nothing where that is nothing."""
    return f"<details>\n<summary>{in_html(summary)}</summary>\n{body}\n</details>" if body else ""
