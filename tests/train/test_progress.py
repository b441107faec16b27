"""What is shown, on a terminal and elsewhere."""

from __future__ import annotations

import errno
import io
import json
from collections.abc import Callable

import pytest
from rich.console import Console

from cldfc.recipe import Recipe
from cldfc.runs import progress
from cldfc.runs.progress import Bars, JsonLines, Lines, epoch_in_words, show_progress
from cldfc.training import metrics
from cldfc.training.metrics import Epoch, Pace, Progress, TrainingPosition, clock, speed_in_words

STEPS, BATCH = 3, 100
RECIPE = Recipe(epochs=8, batch=BATCH, lr=1)


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time of everything that shows progress."""
    watch = Clock()
    for module in (progress, metrics):
        monkeypatch.setattr(module, "monotonic", watch)
    return watch


def position(epoch: int, step: int, seconds: float) -> TrainingPosition:
    """A place in a training; half of the images so far were classified correctly."""
    shown = step * BATCH
    return TrainingPosition.model_construct(
        epoch=epoch, step=step, loss_sum=0.25 * shown, hits=shown // 2, shown=shown, seconds=seconds
    )


def measured(epoch: int) -> Epoch:
    """What such an epoch gives."""
    return Epoch(
        epoch=epoch, train_loss=0.25, train_accuracy=0.5, test_loss=0.125, test_accuracy=0.75, seconds=2, lr=0.1
    )


def go_through(heard: Progress, epochs: int, pass_time: Callable[[float], None], seconds: float = 1) -> None:
    """A training of three steps per epoch, each of so many seconds."""
    heard.start(Recipe(epochs=epochs, batch=BATCH, lr=1), STEPS)
    for epoch in range(1, epochs + 1):
        for step in range(1, STEPS + 1):
            pass_time(seconds)
            heard.step(position(epoch, step, step * seconds))
        heard.epoch(measured(epoch))


def lines_of(time: Clock, epochs: int, seconds: float = 1) -> list[str]:
    """The plain lines of such a training."""
    stream = io.StringIO()

    def pass_time(seconds: float) -> None:
        time.now += seconds

    with show_progress(stream) as shown:
        go_through(shown, epochs, pass_time, seconds)
    return stream.getvalue().splitlines()


@pytest.mark.parametrize(("epochs", "lines"), [(1, 1), (5, 5), (20, 20), (200, 21), (199, 21)])
def test_plain_lines(time: Clock, epochs: int, lines: int) -> None:
    shown = lines_of(time, epochs)
    assert len(shown) == lines
    assert shown[0].lstrip("epoch ").startswith(f"1/{epochs}")
    assert shown[-1] == (
        f"epoch {epochs}/{epochs}  train loss 0.2500  accuracy 50.00%  test loss 0.1250  accuracy 75.00%  2.0 s"
    )


def test_what_validation_says_is_shown() -> None:
    epoch = measured(1).model_copy(update={"validation_loss": 0.5, "validation_accuracy": 0.625})
    assert "  validation loss 0.5000  accuracy 62.50%  test loss 0.1250  accuracy 75.00%  " in epoch_in_words(
        epoch, Pace()
    )
    shown = Bars()
    shown.epoch(epoch)
    shown.position = position(1, 2, 1)
    assert "  ".join(shown.results("")) == "loss 0.2500  train 50.00%  validation 62.50%  test 75.00%"


def test_remarks_are_shown_wherever_they_can_be(capsys: pytest.CaptureFixture[str]) -> None:
    """On a terminal below the bars as long as it trains; JSON stays JSON."""
    lines, json_lines, terminal = io.StringIO(), io.StringIO(), io.StringIO()
    bars = Bars()
    for shown in (Lines(lines), JsonLines(json_lines), bars):
        shown.remark("steps are launched")
        shown.step(position(1, 2, 1))
    assert lines.getvalue() == "remark: steps are launched\n"
    assert json_lines.getvalue() == "" and capsys.readouterr().err == "remark: steps are launched\n"
    Console(file=terminal, width=80).print(bars)
    assert terminal.getvalue().rstrip().endswith("\nremark: steps are launched")


def test_a_line_says_how_long_it_still_takes(time: Clock) -> None:
    # Three of 15 steps are done, each takes 10 seconds.
    assert lines_of(time, 5, 10)[0].endswith("  2.0 s  2:00 left")


def test_a_long_epoch_has_lines_within(time: Clock) -> None:
    shown = lines_of(time, 2, 50)
    starts = ["epoch 1/2  step 2", "epoch 1/2  train ", "epoch 2/2  step 2", "epoch 2/2  train "]
    assert [line[:17] for line in shown] == starts
    assert shown[0] == "epoch 1/2  step 2/3  train loss 0.2500  accuracy 50.00%  2.0 images/s  3:20 left"


def test_lines_grow_rarer_in_a_training_of_days(time: Clock) -> None:
    stream = io.StringIO()
    lines = Lines(stream)
    lines.start(Recipe(epochs=2, batch=BATCH, lr=1), 10_000)
    for step in range(1, 10_001):
        time.now += 26
        lines.step(position(1, step, 26 * step))
    # Three days: 20 in the first 20 minutes, then a twentieth longer each time: 20 ln(260000 / 1200) = 108.
    assert 100 < len(stream.getvalue().splitlines()) < 140


def test_plain_lines_have_no_control_characters(time: Clock) -> None:
    assert all(line.isprintable() for line in lines_of(time, 3))


def test_a_json_line_has_everything_that_is_measured() -> None:
    stream = io.StringIO()
    JsonLines(stream).epoch(measured(3).model_copy(update={"images_per_second": 12.5}))
    found = json.loads(stream.getvalue())
    assert found["kind"] == "epoch" and found["lr"] == 0.1 and found["images_per_second"] == 12.5


class Full(io.StringIO):
    """A stream on a full disk."""

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("kind", [Lines, JsonLines])
def test_training_goes_on_when_progress_cannot_be_printed(
    kind: type[Lines | JsonLines], capsys: pytest.CaptureFixture[str]
) -> None:
    shown = kind(Full())
    go_through(shown, 3, lambda seconds: None)
    assert capsys.readouterr().err == (
        "warning: progress is no longer shown: No space left on device; training goes on\n"
    )


def test_live_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    stream = Terminal()
    with show_progress(stream) as shown:
        go_through(shown, 3, lambda _: None)
    text = stream.getvalue()
    assert "epoch 3/3" in text and "step 3/3" in text
    assert "loss 0.2500  train accuracy 50.00%  test accuracy 75.00%" in text


def draw(shown: Bars, columns: int) -> list[str]:
    """The lines of the bars on a terminal."""
    console = Console(file=io.StringIO(), width=columns, force_terminal=True, color_system=None)
    with console.capture() as caught:
        console.print(shown)
    return caught.get().splitlines()


@pytest.fixture
def halfway(time: Clock) -> Bars:
    """Bars of a large training in its second epoch, which has lasted 100 seconds."""
    shown = Bars()
    shown.start(Recipe(epochs=120, batch=BATCH, lr=1), 10_009)
    shown.step(position(1, 10_000, 900))
    shown.epoch(measured(1))
    time.now += 900
    shown.step(position(2, 9_991, 100))
    return shown


@pytest.mark.parametrize("columns", [80, 40])
def test_bars_fit(halfway: Bars, columns: int) -> None:
    lines = draw(halfway, columns)
    assert len(lines) == 3 and all(len(line) <= columns for line in lines)
    # 10,000 steps took 900 s, and 1,181,080 are left.
    assert "epoch 2/120" in lines[0] and "29:31:37 left" in lines[0]
    assert "step 9991/10009" in lines[1] and "9,991 images/s" in lines[1] and "━" in lines[1]
    assert "50.00%" in lines[2] and "75.00%" in lines[2]


def test_a_test_has_a_bar_when_it_takes_long(halfway: Bars, time: Clock) -> None:
    halfway.test(500)
    assert "step" in draw(halfway, 80)[1]
    time.now += 3
    halfway.test(1_000)
    assert draw(halfway, 80)[1].startswith("test") and "1,000 images" in draw(halfway, 80)[1]
    halfway.epoch(measured(2))
    assert "step" in draw(halfway, 80)[1]


def test_what_takes_long_before_the_first_step_is_said(time: Clock) -> None:
    shown = Bars()
    shown.status("reading folder:[red]x")
    time.now += 75
    assert draw(shown, 80) == ["reading folder:[red]x  1:15"]
    shown.start(RECIPE, STEPS)
    shown.step(position(1, 1, 1))
    assert "reading" not in "".join(draw(shown, 80))


def test_the_first_step_after_a_start_says_nothing_about_the_pace(time: Clock) -> None:
    found = Pace()
    found.start(RECIPE, STEPS)
    time.now += 1_000
    found.step(position(4, 2, 7))
    assert found.left is None
    time.now += 1
    found.step(position(4, 3, 8))
    # It is the 12th step of 24.
    assert found.left == pytest.approx(12)


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0:00"), (59.6, "1:00"), (3599, "59:59"), (219_600, "61:00:00")])
def test_clock(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


@pytest.mark.parametrize(("speed", "shown"), [(None, ""), (0.25, "0.2 images/s"), (1234.6, "1,235 images/s")])
def test_speed_in_words(speed: float | None, shown: str) -> None:
    assert speed_in_words(speed) == shown
