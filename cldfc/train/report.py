"""A run at a glance: one HTML file that needs neither a network nor scripts."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape

from cldfc.files import write_file
from cldfc.train.compiled import Compiled
from cldfc.train.curves import Curve, draw_curves
from cldfc.train.metrics import Epoch, best_epoch
from cldfc.train.run import RunFolder, RunRecord

STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --soft: #667; --line: #d5d9e0; --paper: #fff;
  --train: #c2570c; --test: #1f6feb; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --soft: #9aa; --line: #3a3f47; --paper: #15181c;
    --train: #f0883e; --test: #6cb0ff; } }
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: var(--ink);
  background: var(--paper); font: 16px/1.5 system-ui, sans-serif; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.2rem; font-size: 1.15rem; }
p.about { margin-top: 0; color: var(--soft); }
pre { padding: .8rem 1rem; border: 1px solid var(--line); border-radius: 6px; overflow-x: auto;
  line-height: 1.4; }
table { border-collapse: collapse; }
th, td { padding: .25rem 1.2rem .25rem 0; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; }
th { font-weight: 500; color: var(--soft); white-space: nowrap; }
.curves { display: flex; flex-wrap: wrap; gap: 1rem; } .curves svg { flex: 1 1 24rem; }
img.network { max-width: 100%; background: #fff; border-radius: 6px; }
svg text { font-size: 12px; fill: var(--soft); } svg .title { font-size: 14px; fill: var(--ink); }
svg .value, svg .legend { text-anchor: end; } svg .epoch { text-anchor: middle; }
svg .grid { stroke: var(--line); } svg polyline { fill: none; stroke-width: 2; }
svg .train { stroke: var(--train); } svg .test { stroke: var(--test); }
svg circle.train, svg text.train { fill: var(--train); stroke: none; }
svg circle.test, svg text.test { fill: var(--test); stroke: none; }
"""


def write_report(run: RunFolder, record: RunRecord, compiled: Compiled, epochs: Sequence[Epoch]) -> None:
    """Write the report of a finished training into its folder; raises UsageError when that fails."""
    facts, command = compiled.facts, record.command
    sections = [
        section("Result", table(results(epochs))),
        section("Curves", curves(epochs)),
        section("Equations", preformatted(compiled.spec_text)),
        section("Network", image(compiled.picture) + table(facts)) if facts else "",
        section("Data", f"<p>{escape(record.split)}</p>"),
        section("Recipe", table(recipe_in_words(record))),
        section("Repeat it", preformatted(command)) if command else "",
    ]
    write_file(run.report, page(record, "\n".join(filter(None, sections))))


def page(record: RunRecord, body: str) -> str:
    """The whole document."""
    title = f"{record.class_name} on {record.dataset}"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{escape(title)}</h1>
<p class="about">trained with torch {escape(record.torch)} on {escape(record.device)}</p>
{body}
</body>
</html>
"""


def results(epochs: Sequence[Epoch]) -> dict[str, str]:
    """What the training reached, in words."""
    best, seconds = best_epoch(epochs), sum(epoch.seconds for epoch in epochs)
    return {
        "final test accuracy": f"{epochs[-1].test_accuracy:.2%} after epoch {epochs[-1].epoch}",
        "best test accuracy": f"{best.test_accuracy:.2%} after epoch {best.epoch}; chosen by its "
        "test accuracy, so quote the final one",
        "training time": f"{seconds:.1f} s",
    }


def curves(epochs: Sequence[Epoch]) -> str:
    """The loss and the accuracy over the epochs."""
    losses = (
        Curve("train", [epoch.train_loss for epoch in epochs]),
        Curve("test", [epoch.test_loss for epoch in epochs]),
    )
    accuracies = (
        Curve("train", [100 * epoch.train_accuracy for epoch in epochs]),
        Curve("test", [100 * epoch.test_accuracy for epoch in epochs]),
    )
    highest = max(max(curve.values) for curve in losses)
    lowest = min(min(curve.values) for curve in accuracies)
    pictures = (
        draw_curves("Loss", losses, 0, max(highest, 1e-6)),
        draw_curves("Accuracy, %", accuracies, min(lowest, 99), 100),
    )
    return "\n".join(['<div class="curves">', *pictures, "</div>"])


def recipe_in_words(record: RunRecord) -> dict[str, str]:
    """The fields of the recipe, as they are set."""
    return {name.replace("_", " "): str(value) for name, value in record.recipe}


def section(title: str, body: str) -> str:
    """A heading and what stands below it."""
    return f"<section>\n<h2>{escape(title)}</h2>\n{body}\n</section>"


def table(rows: Mapping[str, str]) -> str:
    """Names and values, a row each."""
    cells = (f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in rows.items())
    return "\n".join(["<table>", *cells, "</table>"])


def image(svg: str) -> str:
    """A picture that keeps its styles to itself; nothing without one."""
    if not svg:
        return ""
    data = b64encode(svg.encode()).decode()
    return f'<p><img class="network" alt="the network" src="data:image/svg+xml;base64,{data}"></p>\n'


def preformatted(text: str) -> str:
    """Text as it is."""
    return f"<pre>{escape(text)}</pre>"
