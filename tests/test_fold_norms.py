"""A network for inference: normalisations are part of the kernels before them, and the outputs are the same."""

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from networks import ROOT, relative_difference, some, trained_and_folded
from torch import nn

from cldfc.algebra.fold_norms import Folded
from cldfc.compilation import AS_WRITTEN, Compilation, read_changes
from cldfc.diagnostics import Source
from cldfc.network.resolve import Changes
from cldfc.show.summary import folding_lines
from cldfc.syntax.read import read_source
from cldfc.trained import folded_code

GOLDEN = ROOT / "tests" / "golden"
SHOWN = ("resnet18", "preact18_Al", "fbresnet", "mgnet")
NARROW = {
    "resnet18": ["c = 4"],
    "resnet18_Al_Bl": ["c = 4"],
    "preact18_Al": ["c = 4"],
    "fbresnet": ["c = 4"],
    "mgnet": ["cu = 4", "cf = 4"],
    "unet": ["c@ℓ = 2 * ℓ"],
}
PATHS = [*(ROOT / f"specs/{name}.cldf" for name in NARROW), *sorted((GOLDEN / "compile").glob("*.cldf"))]


def changes_for(path: Path, *lets: str) -> Changes:
    is_spec = path.parent.name == "specs"
    return read_changes([*NARROW[path.stem], *lets], (), "3x16x16") if is_spec else AS_WRITTEN


LEVELS = "levels ℓ = 1..2\nsteps i = 1..3"
TWICE = "bn ∘ B@ℓ,i * relu ∘ bn ∘ B@ℓ,i * x@ℓ,i-1"


def spec(*equations: str, kernels: str = "kernel A : 3×3 → 4\nkernel B : 3×3 → 4", before: str = "") -> Source:
    head = f"model Test\ninput f : 4 × 6 × 6\noutput h : 3\nlet σ = relu ∘ bn\n{before}\n"
    return Source("test.cldf", "\n".join([head + kernels, *equations]))


@torch.no_grad()
def difference(inference: Folded) -> float:
    trained, folded = trained_and_folded(inference)
    images = torch.randn(2, *inference.trained.program.shape, dtype=torch.float64)
    assert count_norms(folded) == len({kept.norm for kept in inference.kept})
    assert count_norms(folded) + inference.count == count_norms(trained)
    return relative_difference(folded(images), trained(images))


def count_norms(network: nn.Module) -> int:
    """Each use of a shared normalisation has statistics of its own, and is one."""
    return sum(hasattr(m, "running_mean") and m.running_mean is not None for m in network.modules()) + sum(
        isinstance(m, nn.GroupNorm | nn.LayerNorm | nn.InstanceNorm2d) for m in network.modules()
    )


# The promise


@pytest.mark.parametrize("form", ["written", "simplified"])
@pytest.mark.parametrize("path", some(PATHS, 6), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_outputs_are_those_of_the_trained_network(path, form):
    assert difference(Compilation(read_source(path), changes_for(path)).folded(form)) < 1e-12


@pytest.mark.parametrize("steps", ["2, 1, 1, 1", "1, 2, 1, 2", "1", "3, 1, 1, 2"])
@pytest.mark.parametrize(
    "ties", some([["A@ℓ"], ["B@ℓ for i >= 1"], ["A@ℓ", "B@ℓ"], ["A"], ["A@ℓ for ℓ >= 3", "B@i"]], 2), ids=str
)
def test_families_of_which_some_members_fold(steps, ties):
    changes = read_changes([f"ν = {steps}", "c = 4"], ties, "3x8x8")
    assert difference(Compilation(read_source(ROOT / "specs/resnet18.cldf"), changes).folded()) < 1e-12


@pytest.mark.parametrize(
    ("kernel", "convolve"),
    [
        ("3×3 → 6 groups 2 bias", "K *_2"),
        ("3×3 → 6 dilation 2 bias", "K *"),
        ("5×5 → 8 groups 4 dilation 3", "K *"),
        ("3×3 → 4 bias", "K *^2"),
        ("4×4 → 4", "K *^2"),
        ("2×2 → 6 groups 2 bias", "K *^2"),
        ("3×3 → 8 groups 4 dilation 2", "K *^3"),
    ],
)
def test_all_kinds_of_kernels(kernel, convolve):
    inference = Compilation(
        spec(f"h = linear ∘ avgpool ∘ relu ∘ bn ∘ {convolve} f", kernels=f"kernel K : {kernel}")
    ).folded()
    assert inference.count == 1
    assert difference(inference) < 1e-12


@pytest.mark.parametrize("norm", ["bn[eps=1e-3]", "bn[affine=0]", "bn[eps=0.1, momentum=0.01, affine=0]"])
def test_norms_with_settings(norm):
    inference = Compilation(
        spec(f"h = linear ∘ avgpool ∘ relu ∘ {norm} ∘ K * f", kernels="kernel K : 3×3 → 4")
    ).folded()
    assert inference.count == 1
    assert difference(inference) < 1e-12


# What folds and what does not


def outcome(*equations: str, **more: str) -> tuple[int, list[str]]:
    """How many normalisations are folded, and the lines for the others; outputs are compared on the way."""
    inference = Compilation(spec(*equations, **more)).folded()
    assert difference(inference) < 1e-12
    first, *lines = folding_lines(inference)
    assert first.startswith(f"{inference.count} of ")
    return inference.count, lines


@pytest.mark.parametrize(
    ("name", "lets", "folded", "kept"),
    [
        # θ; A and B in 5 steps; A, B and R in 3 changes of level.
        ("resnet18", [], 1 + 2 * 5 + 3 * 3, {}),
        # θ and B in the 8 places; before A, before B and before the average stand sums, but for the first.
        ("preact18_Al", [], 1 + 8, {"bn_r": 8, "bn_r_h": 1}),
        ("fbresnet", [], 1 + 8, {"bn_f": 8, "bn_u": 1}),
        # θ, Π and R; B is shared by two steps on each level.
        ("mgnet", [], 1 + 3 + 3, {"bn_B": 8, "bn_f": 8}),
        ("mgnet", ["ν = 1"], 1 + 3 + 3 + 4, {"bn_f": 4}),
        ("resnet18_Bl", [], 20 - 2, {"bn_B": 2}),
        ("unet", [], 18, {}),
    ],
)
def test_counts_by_hand(name, lets, folded, kept):
    found = Compilation(read_source(ROOT / f"specs/{name}.cldf"), read_changes(lets)).folded()
    assert (found.count, len(found.pairs)) == (folded, folded)
    assert Counter(one.norm.scale[0] for one in found.kept) == kept


def test_a_shared_kernel_with_a_normalisation_each():
    equations = "x@0 = f", "x@i = relu ∘ bn ∘ A * x@i-1", "h = linear ∘ avgpool(x@4)"
    count, lines = outcome(*equations, before="steps i = 1..4")
    assert (count, lines) == (0, ["A keeps its bn: the kernel is shared by 4 uses with a bn each"])


def test_members_that_stay_are_named():
    path = ROOT / "specs/resnet18_Bl.cldf"
    lines = folding_lines(Compilation(read_source(path)).folded())
    assert lines[1:] == ["B@1 keeps its bn: the kernel is shared by 2 uses with a bn each"]
    lines = folding_lines(Compilation(read_source(path), read_changes(["ν = 2, 3, 2, 3"])).folded())
    assert lines[1:] == [
        "B@1, B@3 keep their bn: the kernel is shared by 2 uses with a bn each",
        "B@2, B@4 keep their bn: the kernel is shared by 3 uses with a bn each",
    ]


def test_a_family_is_named_by_what_it_depends_on():
    for ties, name in (([], "B@ℓ,i"), (["B@ℓ"], "B@ℓ"), (["B"], "B")):
        source = spec(
            "x@1,0 = f",
            f"x@ℓ,i = {TWICE}",
            "h = linear ∘ avgpool(x@1,1)",
            kernels="kernel B@ℓ,i : 3×3 → 4",
            before=LEVELS,
        )
        lines = folding_lines(Compilation(source, read_changes((), ties)).folded())
        assert lines[1:] == [f"{name} keeps its bn: the kernel is shared by 2 uses with a bn each"]


def test_many_normalisations_are_one_line():
    changes = read_changes(["σ = relu ∘ gn[4]"])
    lines = folding_lines(Compilation(read_source(ROOT / "specs/preact18_Al.cldf"), changes).folded())
    assert lines[0] == "0 of 18 normalisations folded into kernels"
    assert "gn_B stays, 8 times: it depends on the data" in lines


def test_nothing_to_fold():
    assert folding_lines(Compilation(spec("h = linear ∘ avgpool ∘ relu ∘ A * f")).folded()) == [
        "there is no normalisation to fold"
    ]


@pytest.mark.parametrize(
    ("equations", "reason"),
    [
        (
            ["y = A * bn ∘ relu(f)"],
            "bn_f stays: it stands before a convolution, whose zero padding would lack its shift",
        ),
        (["y = relu ∘ bn(A * f + B * f)"], "bn_A stays: it follows a sum, not a convolution"),
        (["y = bn ∘ relu ∘ A * f"], "bn_A stays: it follows `relu`, not a convolution"),
        (["y = relu ∘ bn(f)"], "bn_f stays: it follows the input, not a convolution"),
        (["y = bn(2 * f)"], "bn_f stays: it follows a product, not a convolution"),
        (["y = gn[2] ∘ A * f"], "gn_A stays: it depends on the data"),
        (["y = ln ∘ A * f"], "ln_A stays: it depends on the data"),
        (["x = A * f", "y = x + bn(x)"], "A keeps its bn: the result of the convolution is used elsewhere too"),
        (["x = A * f", "y = bn(x) + bn(x)"], "A keeps its bn: the result of the convolution is used elsewhere too"),
        (["y = A * σ ∘ A * f"], "A keeps its bn: the kernel is used without it too"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_stays_and_why(equations, reason):
    count, lines = outcome(*equations, "h = linear ∘ avgpool(y)")
    assert (count, lines) == (0, [reason])


def test_a_convolution_in_another_equation_takes_up_its_normalisation():
    count, lines = outcome("x = A * f", "y = relu ∘ bn(x)", "h = linear ∘ avgpool(y)")
    assert (count, lines) == (1, [])


TAGGED = "kernel A@ℓ : 3×3 → 4\nkernel B@ℓ : 3×3 → 4"


def test_a_shared_kernel_has_as_many_statistics_as_uses():
    """bn@ℓ shares scale and shift; its statistics, and so what the kernel would take up, differ from use to use."""
    equations = "x@1,0 = f", "x@ℓ,i = relu ∘ bn@ℓ ∘ A@ℓ * x@ℓ,i-1", "x@ℓ+1,0 = x@ℓ,3", "h = linear ∘ avgpool(x@2,3)"
    count, lines = outcome(*equations, kernels=TAGGED, before=LEVELS)
    assert (count, lines) == (0, ["A@ℓ keeps its bn: the kernel is shared by 3 uses with a bn each"])


def test_kernels_of_their_own_with_one_tagged_normalisation_fold():
    equations = (
        "x@1,0 = f",
        "x@ℓ,i = relu ∘ bn@ℓ ∘ A@ℓ,i * relu ∘ bn@ℓ ∘ B@ℓ,i * x@ℓ,i-1",
        "x@ℓ+1,0 = x@ℓ,3",
        "h = linear ∘ avgpool(x@2,3)",
    )
    kernels = TAGGED.replace("@ℓ", "@ℓ,i")
    assert outcome(*equations, kernels=kernels, before=LEVELS) == (12, [])


def test_a_tagged_normalisation_stays_where_no_kernel_takes_it_up():
    equations = "x@ℓ,i = relu ∘ bn@ℓ ∘ A@ℓ * relu ∘ bn@ℓ(f)", "h = linear ∘ avgpool(x@1,1)"
    count, lines = outcome(*equations, kernels=TAGGED, before=LEVELS)
    assert (count, lines) == (1, ["bn@1 stays: it follows the input, not a convolution"])


# The code


@pytest.mark.parametrize("name", SHOWN)
def test_code_looks_as_it_should(name, golden):
    path = GOLDEN / "inference" / f"{name}.py"
    golden(path, folded_code(Compilation(read_source(ROOT / f"specs/{name}.cldf")).folded()))
    for command in (["format", "--check", "-q"], ["check", "-q"]):
        result = subprocess.run([sys.executable, "-m", "ruff", *command, "--isolated", str(path)], capture_output=True)
        assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("name", some([*SHOWN, "resnet18_Bl", "preact18_Al_Bl"], 3))
def test_code_is_as_long_for_many_steps_as_for_few(name):
    def lines(steps: int) -> int:
        each = f"ν = {steps}, {steps + 1}, {steps}, {steps + 2}"
        return len(
            folded_code(
                Compilation(read_source(ROOT / f"specs/{name}.cldf"), read_changes([each])).folded()
            ).splitlines()
        )

    assert lines(2) == lines(3) == lines(40)


def test_docstring_says_how_many():
    lines = (
        ast.get_docstring(ast.parse(folded_code(Compilation(spec("h = linear ∘ avgpool ∘ σ ∘ A * f")).folded()))) or ""
    ).split("\n")
    assert lines[-1] == "for inference: 1 normalisation folded"
    assert lines[0].startswith("Test: generated by cldfc")


# The weights


def test_weights_that_are_not_used_are_left_out_and_others_keep_their_names():
    """Simplified, K@1 is applied to nothing but zeros; K@2 is left alone."""
    kernels = "kernel K@ℓ : 3×3, 4 → 4\nlevels ℓ = 1..2"
    inference = Compilation(
        spec("u = 0", "h = linear ∘ avgpool ∘ relu(K@1 * u + bn ∘ K@2 * f)", kernels=kernels)
    ).folded()
    trained, folded = trained_and_folded(inference)
    assert {"K.1.weight", "K.2.weight"} <= trained.state_dict().keys()
    assert {name for name in folded.state_dict() if name.startswith("K")} == {"K.2.weight", "K.2.bias"}
    assert difference(inference) < 1e-12
