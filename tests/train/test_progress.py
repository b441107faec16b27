"""What is shown, on a terminal and elsewhere."""

from __future__ import annotations

import io

import pytest

from cldfc.train.metrics import Epoch
from cldfc.train.progress import show_progress
from cldfc.train.recipe import Recipe


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


def watch(stream: io.StringIO, epochs: int) -> str:
    """What is shown of a training of three steps per epoch."""
    with show_progress(stream) as progress:
        progress.start(Recipe(epochs=epochs, batch=2, lr=1), 3)
        for number in range(1, epochs + 1):
            for step in (1, 2, 3):
                progress.step(number, step, 0.25)
            progress.epoch(
                Epoch(
                    epoch=number,
                    train_loss=0.25,
                    train_accuracy=0.5,
                    test_loss=0.125,
                    test_accuracy=0.75,
                    seconds=2,
                )
            )
    return stream.getvalue()


@pytest.mark.parametrize(("epochs", "lines"), [(1, 1), (5, 5), (20, 20), (200, 21), (199, 21)])
def test_plain_lines(epochs: int, lines: int) -> None:
    shown = watch(io.StringIO(), epochs).splitlines()
    assert len(shown) == lines
    assert shown[0].lstrip("epoch ").startswith(f"1/{epochs}")
    assert shown[-1] == (
        f"epoch {epochs}/{epochs}  train loss 0.2500  accuracy 50.00%  test loss 0.1250  accuracy 75.00%  2.0 s"
    )


def test_plain_lines_have_no_control_characters() -> None:
    assert "\x1b" not in watch(io.StringIO(), 3)


def test_live_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    shown = watch(Terminal(), 3)
    assert "epoch 3/3" in shown and "loss 0.2500" in shown and "75.00%" in shown
