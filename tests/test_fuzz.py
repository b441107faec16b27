"""Any input is either compiled or refused with diagnostics, within two seconds: mutated specs, programs, bytes.

`make test` tries 500 inputs, `make fuzz` 100,000 (CLDFC_FUZZ).
"""

import os
import random
import re
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import specs

from cldfc.compilation import Compilation
from cldfc.diagnostics import CldfError, Source, UsageError, plain_text, render
from cldfc.emit.torch_module import emit_module
from cldfc.syntax.format import format_statement
from cldfc.syntax.keywords import STATEMENTS, WORDS_INSIDE
from cldfc.syntax.read import decode

ROOT = Path(__file__).parents[1]
SEEDS = sorted(
    [*ROOT.glob("specs/**/*.cldf"), *ROOT.glob("examples/*.cldf"), *ROOT.glob("tests/golden/**/*.cldf")],
    key=lambda path: path.as_posix(),
)
COUNT = int(os.environ.get("CLDFC_FUZZ", "250"))
CHUNK = 100
LONGEST = 5.0
"""Seconds of processor time that one input may take; 200,000 operations, the most there are, take 2 if it is quiet."""
LARGEST_EMITTED = 2_000

TOKEN = re.compile(r"\\?\w+|@\{[^}]*\}|\s+|.", re.DOTALL)
ODD = (
    "0 1 2 3 -1 99999 100001 1048577 1e308 1e-9 0.5 2^9 2^(2^(2^9)) @ @ℓ @ℓ,i @{ℓ,ν@ℓ} @1,0 ℓ i ν J σ relu bn gn[8] "
    "maxpool[3,stride=2] avgpool linear[5] concat(x,y) sum(j=0..i-1:u@ℓ,j) concat(j=0..ν:u@ℓ,j) 0 ⊙ *_2 *^2 * ∘ . ( ) "
    "[ ] { } , : = + - / ^ "
    '\\sigma \\ell \\nu_\\ell ^{\\ell} _\\ell^{\\ell+1} \\left( \\right) $ $$ # " А \u202e \x00 '
    "\ufeff × → >= ≤ 3×3 2×2 h f u r A B"
).split(" ")
ODD += [*STATEMENTS, *WORDS_INSIDE, "\n", "\r\n", "\t", "\n  ", "\n\n"]


def mutate(text: str, dice: random.Random) -> str:
    """A spec with a few tokens lost, doubled, exchanged or replaced by others."""
    tokens = TOKEN.findall(text) or ["model"]
    for _ in range(dice.choice((1, 1, 1, 2, 3, 5, 9))):
        at, other = dice.randrange(len(tokens)), dice.randrange(len(tokens))
        match dice.randrange(7):
            case 0:
                tokens[at] = ""
            case 1:
                tokens[at] = dice.choice(ODD)
            case 2:
                tokens[at], tokens[other] = tokens[other], tokens[at]
            case 3:
                tokens[at] += dice.choice(ODD)
            case 4:
                tokens[at] = tokens[other]
            case 5:
                tokens[at:at] = tokens[other : other + dice.randrange(1, 12)]
            case _:
                del tokens[at : at + dice.randrange(1, 12)]
        tokens = tokens or ["model"]
    return "".join(tokens)


def judge(text: str) -> None:
    """Fail unless an input is compiled or refused in time, and the report can be printed."""
    # A busy machine may take long once; an input that is slow is slow each time.
    assert any(seconds(text) < LONGEST for _ in range(3))


def seconds(text: str) -> float:
    """Processor time for one input."""
    source = Source("fuzz.cldf", text)
    start = time.process_time()
    try:
        inferred = Compilation(source).shapes
    except CldfError as error:
        assert error.diagnostics
        plain_text(render(error.diagnostics))
    except UsageError:
        pass
    else:
        if len(inferred.expansion.operations) < LARGEST_EMITTED:
            compile(emit_module(Compilation(source).simplified), "generated", "exec")
    return time.process_time() - start


@pytest.mark.parametrize("seed", range(COUNT * 8 // 10 // CHUNK))
def test_mutated_specs(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    dice = random.Random(seed)
    for _ in range(CHUNK):
        text = mutate(dice.choice(SEEDS).read_text(encoding="utf-8", errors="replace"), dice)
        try:
            judge(text)
        except BaseException:
            print(text)
            raise


@settings(max_examples=COUNT // 10, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(specs())
def test_programs(spec):
    judge("".join(f"{format_statement(statement)}\n" for statement in spec))


@settings(max_examples=COUNT // 10, deadline=None, derandomize=True)
@given(st.binary(max_size=300))
def test_bytes(data: bytes):
    try:
        source = decode("fuzz.cldf", data)
    except CldfError:
        return
    judge(source.text)
