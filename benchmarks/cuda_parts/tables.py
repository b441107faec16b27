"""The tables of `benchmarks/cuda.py`, in Markdown, from its figures; the standard library alone reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Items = Mapping[str, Mapping[str, Any]]


def tables(record: Mapping[str, Any]) -> str:
    """Everything that was found, and what was not."""
    lines = [head(record), ""]
    for part, found in record["parts"].items():
        lines += [f"### {part}: {summary(found)}", ""]
        items: Items = found["items"]
        lines += TABLES[part]({name: item for name, item in items.items() if not has_ended_early(item)})
        lines += [f"- {name}: {reason}" for name, reason in reasons(items)]
        lines += [""] * (lines[-1] != "")
    return "\n".join(lines).strip()


def head(record: Mapping[str, Any]) -> str:
    """The card, the date and the releases."""
    machine = record["machine"]
    named = {"torch": "torch", "cuda_release": "CUDA", "cudnn": "cuDNN", "python": "Python"}
    parts = [
        machine.get("device", "no CUDA device"),
        *(f"{word} {machine[key]}" for key, word in named.items() if machine.get(key) and has_part(machine, key)),
        f"{machine['processors']} processors" if machine.get("processors") else "",
        f"commit {record['commit']}" if record["commit"] else "",
        record["started"],
        "a rehearsal on the CPU: no figure means anything" if record["rehearsal"] else "",
        f"ended by {record['ended_by']}" if "ended_by" in record else "",
    ]
    error = f"\n\nThe machine could not be looked at: {machine['error']}" if "error" in machine else ""
    return f"{'; '.join(filter(None, parts))}.{error}"


def has_part(machine: Mapping[str, Any], key: str) -> bool:
    """Whether a release matters: that of CUDA only with a device."""
    return key != "cuda_release" or bool(machine.get("cuda"))


def summary(found: Mapping[str, Any]) -> str:
    """How a part ended, how long it took, and how many of its items failed."""
    items: Items = found["items"]
    counts = [
        (len([item for item in items.values() if not has_ended_early(item)]), "done"),
        (len([item for item in items.values() if "error" in item]), "failed"),
        (len([item for item in items.values() if "skipped" in item]), "skipped"),
    ]
    counted = ", ".join(f"{count} {word}" for count, word in counts if count)
    time = f" in {found['seconds']:.0f} s" if "seconds" in found else ""
    return "; ".join(filter(None, [f"{found['state']}{time}", counted, found.get("error", "").partition("\n")[0]]))


def has_ended_early(item: Mapping[str, Any]) -> bool:
    """Whether an item has no figures, or not all of them."""
    return any(word in item for word in ("error", "skipped", "cut_short"))


def reasons(items: Items) -> Iterable[tuple[str, str]]:
    """Why items have no figures."""
    for name, item in items.items():
        if "error" in item:
            yield name, "FAILED: " + item["error"].replace("\n", "\n  ")
        elif "skipped" in item:
            yield name, f"skipped: {item['skipped']}"
        elif "cut_short" in item:
            so_far = (
                f" after {item['epochs']} of {item['planned']} epochs, {percent(item['test_accuracy'])}"
                if "epochs" in item
                else ""
            )
            yield name, f"cut short{so_far}"


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Rows of Markdown; nothing where there is none."""
    body = [f"| {' | '.join(row)} |" for row in rows]
    return [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|", *body, ""] if body else []


def of_specs(items: Items) -> list[str]:
    """For each mode and each kind of tensor the largest difference, and whose it is."""
    worst: dict[tuple[str, str], tuple[float, str]] = {}
    for name, modes in items.items():
        for mode, differences in modes.items():
            for kind, difference in differences.items():
                worst[mode, kind] = max(worst.get((mode, kind), (-1.0, "")), (difference, name))
    rows = [[mode, kind, f"{difference:.1e}", name] for (mode, kind), (difference, name) in worst.items()]
    return table(["mode", "what", "largest difference", "of"], rows)


def of_tests(items: Items) -> list[str]:
    """They are counted; those that did not pass are named with the reason."""
    return []


COLUMNS = ("loop", "launched", "bare", "plain", "good")


def of_speed(items: Items) -> list[str]:
    """Images per second; then with torch.compile; then what an epoch takes outside of its steps."""
    eager, compiled, outside = (
        [i for n, i in items.items() if n.startswith(kind)] for kind in ("eager", "compiled", "outside")
    )
    rows = [
        [
            i["network"],
            str(i["batch"]),
            *(speed(i, side) for side in COLUMNS),
            *(f"{i['loop_against'][side]:.2f}" for side in COLUMNS[1:]),
            percent(i["busy"]),
        ]
        for i in eager
    ]
    titles = [
        "network",
        "batch",
        *(f"{side}, images/s" for side in COLUMNS),
        *(f"loop / {side}" for side in COLUMNS[1:]),
        "busy",
    ]
    lines = [*table(titles, rows)]
    if eager:
        lines += ["`loop / …`: times of a step, medians of alternating rounds; below 1.00 the loop is faster.", ""]
    sides = ("loop", "good, compiled", "loop, compiled")
    rows = [
        [
            i["network"],
            str(i["batch"]),
            *(speed(i, side) for side in sides),
            f"{i['loop_against'][sides[1]]:.2f}",
            f"{i['first_step'][sides[1]]:.0f} s",
            i["auto"],
        ]
        for i in compiled
    ]
    titles = ["network", "batch", *(f"{side}, images/s" for side in sides), "loop / good, compiled"]
    titles += ["compiling", "`auto` says"]
    lines += table(titles, rows)
    rows = [[i["network"], str(i["batch"]), *timings(i)] for i in outside]
    return lines + table(["network", "batch", *TIMINGS], rows)


TIMINGS = ("a step", "the test", "between epochs", "outside of steps")


def timings(item: Mapping[str, Any]) -> list[str]:
    """What an epoch consists of."""
    return [
        f"{1000 * item['step']:.1f} ms",
        f"{item['test']:.2f} s",
        f"{item['between']:.2f} s",
        percent(item["share"]),
    ]


def speed(item: Mapping[str, Any], side: str) -> str:
    return f"{item['images_per_second'][side]:,.0f}"


def of_training(items: Items) -> list[str]:
    """Accuracy and time of each training."""
    rows = [
        [
            i["network"],
            str(i["epochs"]),
            percent(i["test_accuracy"], 2),
            f"{i['seconds']:.0f} s",
            *timings(i),
        ]
        for i in items.values()
    ]
    return table(["network", "epochs", "test accuracy", "time", *TIMINGS], rows)


def percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f} %"


TABLES: dict[str, Callable[[Items], list[str]]] = {
    "specs": of_specs,
    "tests": of_tests,
    "speed": of_speed,
    "training": of_training,
}
