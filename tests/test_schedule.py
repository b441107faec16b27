"""Loops unrolled again are the instances that they were made from, in the same order."""

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import ROOT, count_calls, count_lines, some, spec_text

from benchmarks import front_end
from cldfc.compilation import Compilation
from cldfc.diagnostics import Source, Span
from cldfc.emit.loops import ForLoop, Item, Leaf, choose_slots, fewest_indices, list_accesses
from cldfc.emit.schedule import schedule
from cldfc.network.program import Read

SPECS = sorted([*(ROOT / "specs").glob("*.cldf"), *(ROOT / "tests/golden/compile").glob("*.cldf")])


def unroll(items: Sequence[Item], turn: dict[str, int]) -> Iterator[tuple[int, dict[str, int]]]:
    for item in items:
        if isinstance(item, Leaf):
            yield id(item.template), {name: at.value(turn) for name, at in item.binding().items()}
            continue
        first, last = item.first.value(turn), item.last.value(turn)
        for value in range(first, last + item.step, item.step):
            inner = {**turn, item.variable: value}
            yield from unroll(item.body, inner)
            if value != last:
                yield from unroll(item.rest, inner)


def check(text: str, name: str = "test.cldf") -> list[Item]:
    expansion = Compilation(Source(name, text)).shapes.expansion
    items = schedule(expansion.instances, expansion.program.ranges)
    assert list(unroll(items, {})) == [(id(i.template), i.binding) for i in expansion.instances]
    return items


@pytest.mark.parametrize("path", some(SPECS, 3), ids=lambda path: path.stem)
def test_specs(path):
    check(path.read_text(encoding="utf-8"), str(path))


# A range without any step is refused; without one on level 1, nothing says how wide u@1,0 = 0 is.
PREACT = st.tuples(st.just("preact18_Al"), st.lists(st.integers(0, 4), min_size=1, max_size=6).filter(any))
FEATURES = st.tuples(st.just("fbresnet"), st.lists(st.integers(1, 4), min_size=1, max_size=6))


@settings(max_examples=60, deadline=None)
@given(PREACT | FEATURES)
def test_any_steps(case):
    name, steps = case
    written = {"preact18_Al": "2, 1, 1, 1", "fbresnet": "2, 2, 2, 2"}[name]
    narrow = ("64, 128, 256, 512", ", ".join("4" * len(steps)))
    check(spec_text(name, ("let J = 4", f"let J = {len(steps)}"), narrow, (written, ", ".join(map(str, steps)))))


def test_an_iteration_is_one_loop_in_one_loop():
    items = check((ROOT / "specs" / "preact18_Al.cldf").read_text(encoding="utf-8"))
    first, loop, last = items
    assert isinstance(first, Leaf)
    assert isinstance(last, Leaf)
    assert isinstance(loop, ForLoop)
    (steps,) = loop.body
    (pooling,) = loop.rest
    assert isinstance(steps, ForLoop)
    assert isinstance(pooling, Leaf)


@given(
    st.integers(1, 3).flatmap(
        lambda arity: st.lists(
            st.tuples(st.booleans(), st.tuples(*[st.integers(0, 2)] * arity)), min_size=1, max_size=12
        )
    )
)
def test_slots_are_enough_and_the_fewest(accesses):
    """Every read finds its value under the chosen indices, by a second simulation; fewer would not do."""

    def all_found(choice):
        memory = {}
        for is_write, indices in accesses:
            slot = tuple(indices[place] for place in choice)
            if is_write:
                memory[slot] = indices
            elif slot in memory and memory[slot] != indices:
                return False
        return True

    read = Read("x", (), Span(Source("", ""), 0, 0))
    chosen = fewest_indices(len(accesses[0][1]), [(0, None if is_write else read, at) for is_write, at in accesses])
    everything = tuple(range(len(accesses[0][1])))
    assert all_found(chosen) or chosen == everything
    if len(chosen) > 0:
        assert not all_found(())


def test_slots_of_the_paper():
    for name, expected in (
        ("preact18_Al", {("r", 2): ()}),
        ("fbresnet", {("u", 2): (0,), ("f", 1): ()}),
    ):
        text = (ROOT / "specs" / f"{name}.cldf").read_text(encoding="utf-8")
        slots = choose_slots(list_accesses(Compilation(Source(name, text)).shapes.expansion.instances))
        assert {family: slots[family] for family in expected} == expected


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 3), min_size=1, max_size=5))
def test_several_equations_for_a_step_are_one_loop(steps):
    """Also on a level with one step alone, if another has more."""
    text = (ROOT / "tests/golden/compile/numbers_and_gates.cldf").read_text(encoding="utf-8")
    text = text.replace("J = 2", f"J = {len(steps)}").replace("0.3, -1.5", "0.3").replace("3 × 8 × 8", "3 × 64 × 64")
    _, *items, _ = check(text.replace("ν@ℓ = 2, 3", f"ν@ℓ = {', '.join(map(str, steps))}"))
    if len(steps) > 1 and max(steps) > 1:
        (levels,) = items
        assert isinstance(levels, ForLoop) and levels.variable == "ℓ"
        (step,) = levels.body
        assert isinstance(step, ForLoop) and len(step.body) == 3 and len(levels.rest) == 1


def calls_of(text: str) -> int:
    """The calls of functions that it takes to find the loops of a network."""
    network = Compilation(Source("test.cldf", text))
    instances, ranges = network.simplified.instances, network.program.ranges
    return count_calls(lambda: schedule(instances, ranges))


STEPS_ON_LEVELS = """
model Long
levels ℓ = 1..{count}
steps i = 1..2
input f : 3 × 8 × 8
output h : 10
kernel θ : 3×3 → 8
kernel A@ℓ : 3×3 → 8
r@1,0 = θ * f
r@ℓ,i = r@ℓ,i-1 + A@ℓ * relu(r@ℓ,i-1)
r@ℓ+1,0 = relu ∘ bn(r@ℓ,2)
h = linear ∘ avgpool(r@{count},2)
"""


def test_the_work_of_loops_over_many_levels_grows_with_their_number():
    few, many = (calls_of(STEPS_ON_LEVELS.format(count=count)) for count in (20, 80))
    assert many < 4.5 * few


@pytest.mark.parametrize("spec_of", [front_end.cycles_over, front_end.sums_of])
def test_what_repeats_inside_a_loop_is_a_loop_inside_it(spec_of):
    """However many levels a cycle goes through, and terms a sum has, they are written once."""
    texts = [spec_of(*sizes).replace("3 × 8 × 8", "3 × 32 × 32") for sizes in ((3, 3), (5, 3), (5, 7))]
    check(texts[0])
    lengths = [len(Compilation(Source("test.cldf", text)).code().splitlines()) for text in texts]
    assert len({*lengths}) == 1


@pytest.mark.parametrize("family", some([*front_end.LARGE, *front_end.OTHERS][::-1], 3))
def test_the_work_of_a_compile_grows_with_the_network(family):
    """Eight times the operations of any kind take at most about eight times the work, down to the last loop."""
    texts = [family(size) for size in (200, 200, 1600)]
    _, few, many = (count_lines(lambda text=text: Compilation(Source("test.cldf", text)).code()) for text in texts)
    assert many < 8.2 * few


ZIGZAG = """model Zigzag
input f : 3 × 8 × 8
output h : 10
steps i = 1..{last}
kernel θ : 3×3 → 8
kernel A : 3×3 → 8
x@0 = θ * f
y@0 = relu(x@0)
x@i = x@i-1 + A * relu(y@i-1)
y@i = y@i-1 + A * relu(x@i-1)
h = linear ∘ avgpool(x@{last})
"""
"""Asked for in the order x@1, y@1, y@2, x@2, x@3, y@3."""


@pytest.mark.parametrize(
    ("text_of", "few", "many"),
    [
        (lambda last: ZIGZAG.format(last=last), 40, 2040),
        (lambda last: front_end.cycles_over(2, last), 11, 711),
    ],
    ids=("zigzag", "cycles"),
)
def test_a_large_network_has_the_loops_of_a_small_one(text_of, few, many):
    """Where only the first equations of it say whether another order has fewer lines, and where all of them do."""
    small, large = (
        Compilation(Source("test.cldf", text_of(last))).code().partition("class ")[2] for last in (few, many)
    )
    assert large == small.replace(str(few), str(many)).replace(str(few + 1), str(many + 1))
