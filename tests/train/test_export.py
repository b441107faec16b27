"""`cldfc export`: what is in the files, read by other means than those that wrote them, and what is refused."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from functools import cache
from importlib import util
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from click.testing import Result
from networks import ROOT, build, only_in_fuzz, randomise, some
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F
from typer.testing import CliRunner

from cldfc.cli import app
from cldfc.compilation import Compilation, read_changes
from cldfc.data.catalogue import find
from cldfc.diagnostics import Source
from cldfc.runs.run_folder import RunFolder, RunRecord, seal_run
from cldfc.weights import inference
from cldfc.weights.export import safetensors
from cldfc.weights.network import save_weights

FORMATS = ["--onnx", "--torch-export", "--safetensors"]
IMAGES = "fake:2x8x8:5"
DATASET = find(IMAGES)
PAGES = {page.stem: page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md")}
COUNTS = (1, 2, 7)
"""Of images."""

Exported = Callable[..., tuple[RunFolder, Result]]

# Its norms: one that folds into K, one that cannot, as A has two uses.
SPEC = """
model Net
input f : 2 × 8 × 8
output h : 5
kernel K : 3×3 → 6
kernel A : 3×3 → 6
a = relu ∘ bn ∘ K * f
b = relu ∘ bn ∘ A * a
c = b + bn ∘ A * b
h = linear ∘ avgpool(c)
"""


def make_run(folder: Path, spec: str = SPEC, name: str = "Net") -> RunFolder:
    """A run folder as a training leaves it, with weights that are all different."""
    folder.mkdir()
    run = RunFolder(folder)
    network = build(Compilation(Source("net.cldf", spec), read_changes((), (), "2x8x8", 5)).code())
    randomise(network)
    save_weights(network, run.weights)
    run.spec.write_text(spec, encoding="utf-8")
    record = RunRecord(
        class_name=name,
        dataset=IMAGES,
        split="",
        input_shape=(2, 8, 8),
        classes=5,
        recipe=DATASET.recipe,
        device="",
        torch="",
    )
    run.record.write_text(record.model_dump_json())
    run.source.write_text("raise SystemExit('the stored source ran')\n")
    return run


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return make_run(tmp_path / "run")


def export(*arguments: object):
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A run that was exported with some options, and what was said; not to be changed. An export takes seconds."""

    @cache
    def export_once(*options: str) -> tuple[RunFolder, Result]:
        run = make_run(tmp_path_factory.mktemp("exported") / "run")
        seal_run(run.path)
        return run, export(run.path, *options)

    return export_once


def expected(run: RunFolder, pixels: Tensor, spec: str = SPEC) -> Tensor:
    """The scores of the network as trained, standardised here."""
    network = build(Compilation(Source("net.cldf", spec), read_changes((), (), "2x8x8", 5)).code()).eval()
    network.load_state_dict(load_file(run.weights))
    with torch.no_grad():
        return network((pixels.float() - 127.5) / (255 / 12**0.5))


def images(count: int) -> Tensor:
    draw = torch.Generator().manual_seed(count)
    return torch.randint(0, 256, (count, 2, 8, 8), dtype=torch.uint8, generator=draw)


def close(found: Tensor, wanted: Tensor) -> bool:
    return torch.allclose(found, wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))


# What is in the files


@pytest.mark.parametrize("how", some([[], ["--as-trained"]], 2), ids=some(["folded", "as trained"], 2))
def test_onnx_gives_the_scores_of_pixels(exported: Exported, how: list[str]) -> None:
    run, result = exported("--onnx", *how)
    assert result.exit_code == 0
    session = onnxruntime.InferenceSession(run.path / "Net.onnx")
    for count in COUNTS:
        (scores,) = session.run(["scores"], {"pixels": images(count).numpy()})
        assert close(torch.from_numpy(scores), expected(run, images(count)))


def test_onnx_is_valid_and_says_what_it_is(exported: Exported) -> None:
    run, _ = exported("--onnx")
    model = onnx.load(run.path / "Net.onnx")
    onnx.checker.check_model(model, full_check=True)
    (about,) = [json.loads(prop.value) for prop in model.metadata_props if prop.key == "cldfc"]
    assert (about["model"], about["data"], about["classes"], about["shape"]) == ("Net", IMAGES, 5, [2, 8, 8])
    assert (about["mean"], about["std"]) == (list(DATASET.mean), list(DATASET.std))
    assert "uint8" in about["takes"] and about["folded"] == 1
    assert str(Path(torch.__file__).parent).encode() not in (run.path / "Net.onnx").read_bytes()
    assert b".py" not in (run.path / "Net.onnx").read_bytes()
    (pixels,) = model.graph.input
    assert pixels.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [size.dim_value for size in pixels.type.tensor_type.shape.dim] == [0, 2, 8, 8]


def test_onnx_as_trained_has_every_tensor_by_its_name(exported: Exported) -> None:
    run, _ = exported("--onnx", "--as-trained")
    model = onnx.load(run.path / "Net.onnx")
    found = {part.name.removeprefix("network."): numpy_helper.to_array(part) for part in model.graph.initializer}
    weights = {name: tensor for name, tensor in load_file(run.weights).items() if "num_batches" not in name}
    assert all(np.array_equal(found[name], tensor.numpy()) for name, tensor in weights.items())
    # What else there is are whole numbers: shapes.
    assert {name for name, array in found.items() if array.dtype == np.float32} - set(weights) == {"mean", "std"}
    assert Counter(node.op_type for node in model.graph.node)["BatchNormalization"] == 3


def test_the_exported_program_as_trained_gives_the_same_bits(run: RunFolder) -> None:
    assert export(run.path, "--torch-export", "--as-trained").exit_code == 0
    program = torch.export.load(run.path / "Net.pt2").module()
    with torch.no_grad():
        for count in COUNTS:
            assert torch.equal(program(images(count)), expected(run, images(count)))


def test_the_exported_program_folded(exported: Exported) -> None:
    run, result = exported("--torch-export")
    assert result.exit_code == 0
    extra = {"cldfc.json": ""}
    program = torch.export.load(run.path / "Net.pt2", extra_files=extra)
    assert json.loads(extra["cldfc.json"])["folded"] == 1
    called = Counter(str(node.target) for node in program.graph.nodes if node.op == "call_function")
    assert called["aten.conv2d.default"] == 3 and called["aten.batch_norm.default"] == 2
    with torch.no_grad():
        assert close(program.module()(images(3)), expected(run, images(3)))
    assert str(Path.cwd()).encode() not in (run.path / "Net.pt2").read_bytes()


def test_safetensors_hold_the_weights_bit_for_bit(run: RunFolder) -> None:
    assert export(run.path, "--safetensors").exit_code == 0
    written, weights = load_file(run.path / "Net.safetensors"), load_file(run.weights)
    assert written.keys() == weights.keys()
    assert all(torch.equal(written[name], tensor) for name, tensor in weights.items())
    with safe_open(run.path / "Net.safetensors", "pt") as file:
        about = json.loads(file.metadata()["cldfc"])
    assert about["takes"].startswith("(pixels - mean) / std") and about["folded"] == 0
    assert (about["mean"], about["std"]) == (list(DATASET.mean), list(DATASET.std))


RULED = """
model Ruled
input f : 2 × 8 × 8
output h : 5
kernel K : 3×3 → 4, unit_norm
kernel S : 3×3 → 4, groups 2, symmetric, zero_sum
kernel L : 3×3 each shared, zero_sum
h = linear ∘ avgpool ∘ relu ∘ L * relu ∘ S * relu ∘ K * f
"""


def test_safetensors_hold_kernels_as_their_rules_make_them(tmp_path: Path) -> None:
    """So plain convolutions with them are the network, and so is its class: the rules change nothing a second time."""
    run = make_run(tmp_path / "run", RULED, "Ruled")
    seal_run(run.path)
    assert export(run.path, "--safetensors").exit_code == 0
    written, weights = load_file(run.path / "Ruled.safetensors"), load_file(run.weights)
    shapes = [{name: tensor.shape for name, tensor in tensors.items()} for tensors in (written, weights)]
    assert shapes[0] == shapes[1]
    made = {name for name in weights if not torch.equal(written[name], weights[name])}
    assert made == {"K.weight", "S.weight", "L.weight"}
    with safe_open(run.path / "Ruled.safetensors", "pt") as file:
        about = json.loads(file.metadata()["cldfc"])
    rules = {"K.weight": ["unit_norm"], "S.weight": ["zero_sum", "symmetric"], "L.weight": ["zero_sum"]}
    assert {name: sorted(found) for name, found in about["rules"].items()} == {n: sorted(r) for n, r in rules.items()}

    pixels = images(3)
    wanted = expected(run, pixels, RULED)
    x = (pixels.float() - 127.5) / (255 / 12**0.5)
    x = F.conv2d(x, written["K.weight"], padding=1).relu()
    x = F.conv2d(x, written["S.weight"], padding=1, groups=2).relu()
    x = F.conv2d(x, written["L.weight"].expand(4, 1, 3, 3), padding=1, groups=4).relu()
    found = F.linear(x.mean((2, 3)), written["linear.weight"], written["linear.bias"])
    assert close(found, wanted)
    save_file(written, run.weights)
    assert close(expected(run, pixels, RULED), wanted)


def test_folded_safetensors_are_those_of_compile_inference(run: RunFolder, tmp_path: Path) -> None:
    assert export(run.path, "--safetensors", "--fold").exit_code == 0
    options = ["--inference", "--weights", str(run.weights), "-o", str(tmp_path / "net.py")]
    assert CliRunner().invoke(app, ["compile", str(run.spec), *options]).exit_code == 0
    one, other = load_file(run.path / "Net.safetensors"), load_file(tmp_path / "net.safetensors")
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


EVERYTHING = """
model Everything
levels ℓ = 1..2
steps i = 1..2
input f : 2 × 8 × 8
output h : 5
kernel K : 3×3 → 8 groups 2 bias
kernel D : 3×3 → 8 dilation 2
kernel S@ℓ : 3×3 → 8
kernel P : 2×2 → 8
scalar ω = 0.5
k   = leaky_relu[0.1] ∘ bn ∘ K * f
d   = elu ∘ gn[4] ∘ D * k + gelu(k) + silu(k) ⊙ sigmoid(k) - tanh(k)
m   = maxpool[3, stride=2] ∘ ln(d)
s@1 = softplus(m)
s@2 = ω * soft_threshold[0.1] ∘ bn ∘ S@1 *_2 s@1
p   = P *^2 s@2 + upsample[2](s@2)
q   = concat(abs(p), avgpool[2](d), identity(s@1))
h   = linear ∘ dropout[0.2] ∘ relu ∘ linear[7] ∘ flatten(q)
"""


@pytest.mark.parametrize("format", some(FORMATS, 3))
def test_every_operator_can_be_exported(tmp_path: Path, format: str) -> None:
    made = make_run(tmp_path / "run", EVERYTHING, "Everything")
    result = export(made.path, format, "--json")
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert data["difference"] <= 1e-5 * data["largest_score"]


@only_in_fuzz
def test_onnx_without_its_runtime_is_checked_by_onnx(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    found = util.find_spec
    monkeypatch.setattr(
        "cldfc.weights.export.onnx.find_spec", lambda name: None if name == "onnxruntime" else found(name)
    )
    result = export(run.path, "--onnx", "--json")
    assert json.loads(result.stdout)["compared_by"] == f"onnx {onnx.__version__}"
    scores = ReferenceEvaluator(onnx.load(run.path / "Net.onnx")).run(None, {"pixels": images(2).numpy()})[0]
    assert close(torch.from_numpy(scores), expected(run, images(2)))


def test_the_page(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/export.md: its two programs, each with the files beside it."""
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGES["export"], re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    for option, block in zip(["--onnx", "--torch-export"], blocks, strict=True):
        run, _ = exported(option)
        monkeypatch.chdir(run.path)
        namespace: dict[str, object] = {"pixels": images(3).numpy()}
        exec(block, namespace)
        assert close(torch.as_tensor(namespace["scores"]), expected(run, images(3)))


# What is printed


def test_what_is_printed(exported: Exported) -> None:
    run, result = exported("--onnx")
    assert result.stderr == (
        f"exporting Net to {run.path / 'Net.onnx'}\n"
        f"comparing the file with the network by onnxruntime {onnxruntime.__version__}\n"
    )
    lines = result.stdout.splitlines()
    assert lines[0] == f"Net written to {run.path / 'Net.onnx'}: 497 parameters"
    assert lines[1] == f"takes uint8 pixels, n × 2 × 8 × 8, in the units of {IMAGES}; it standardises them itself"
    assert lines[2].startswith("gives n × 5 scores; largest difference ")
    assert lines[3:] == [
        "1 of 3 normalisations folded into kernels",
        "A keeps its bn: the kernel is shared by 2 uses with a bn each",
    ]


@pytest.mark.parametrize("format", some(FORMATS[::-1], 3))
def test_json(run: RunFolder, tmp_path: Path, format: str) -> None:
    result = export(run.path, format, "--json", "-o", tmp_path / "file")
    data = json.loads(result.stdout)
    (row,) = [line for line in PAGES["command-line"].splitlines() if line.startswith("| export |")]
    assert [part.strip(" `|") for part in row.removeprefix("| export |").split(",")] == list(data)
    assert data["format"] == format.removeprefix("--") and data["file"] == str(tmp_path / "file")
    # K 2·6·9, its bias 6, A 6·6·9, two norms 24, the layer 6·5 + 5; as trained another norm in place of the bias.
    assert (data["parameters"], data["folded"]) == ((503, 0) if format == "--safetensors" else (497, 1))
    assert 0 <= data["difference"] <= 1e-5 * data["largest_score"]


# What is refused


def refused(result, run: RunFolder, message: str) -> None:
    """A usage error with a help, and nothing left behind."""
    assert result.exit_code == 2 and not result.stdout
    assert message in result.stderr and "help: " in result.stderr and "Traceback" not in result.stderr
    assert {path.name for path in run.path.iterdir()} <= {"spec.cldf", "network.py", "recipe.json", "best.safetensors"}


@pytest.mark.parametrize("given", [[], ["--onnx", "--safetensors"], ["--onnx", "--torch-export"], FORMATS], ids=str)
def test_exactly_one_format(run: RunFolder, given: list[str]) -> None:
    refused(export(run.path, *given), run, "give one of `--onnx`, `--torch-export` and `--safetensors`")


@pytest.mark.parametrize("name", ["spec.cldf", "recipe.json", "best.safetensors"])
def test_a_file_is_missing(run: RunFolder, name: str) -> None:
    (run.path / name).unlink()
    message = "it has no `recipe.json`" if name == "recipe.json" else f"{name}`: No such file"
    refused(export(run.path, "--safetensors"), run, message)


def test_no_run_folder(run: RunFolder) -> None:
    refused(export(run.path / "elsewhere", "--safetensors"), run, f"give the folder: `{run.path}`")
    refused(export(run.spec, "--safetensors"), run, f"give the folder: `{run.path}`")


def test_weights_of_another_network(run: RunFolder) -> None:
    save_file({"A.weight": torch.zeros(3)}, run.weights)
    refused(export(run.path, "--safetensors"), run, "lacks `K.weight`")
    run.weights.write_bytes(b"weights")
    refused(export(run.path, "--safetensors"), run, "is not a safetensors file")


def test_a_wrong_spec(run: RunFolder) -> None:
    run.spec.write_text(SPEC.replace("A * a", "Z * a"), encoding="utf-8")
    result = export(run.path, "--safetensors")
    assert result.exit_code == 1 and "error[E0201]" in result.stderr


@pytest.mark.parametrize("format", FORMATS)
def test_places_that_stay_as_they_are(run: RunFolder, tmp_path: Path, format: str) -> None:
    refused(export(run.path, format, "-o", tmp_path), run, f"`{tmp_path}` is a folder")
    refused(export(run.path, format, "-o", run.weights), run, "was not written by cldfc")
    refused(export(run.path, format, "-o", "/dev/null"), run, "`/dev/null` is not a file")
    assert load_file(run.weights)


def test_a_folder_that_is_not_there(run: RunFolder, tmp_path: Path) -> None:
    refused(export(run.path, "--safetensors", "-o", tmp_path / "no" / "file"), run, "cannot be written")


def test_a_name_that_is_too_long(run: RunFolder, tmp_path: Path) -> None:
    refused(export(run.path, "--safetensors", "-o", tmp_path / ("a" * 300)), run, "cannot be written: File name too")


def test_an_archive_of_somebody_else_stays(run: RunFolder, tmp_path: Path) -> None:
    torch.save({"mine": torch.zeros(3)}, tmp_path / "mine.pt2")
    before = (tmp_path / "mine.pt2").read_bytes()
    refused(export(run.path, "--torch-export", "-o", tmp_path / "mine.pt2"), run, "was not written by cldfc")
    assert (tmp_path / "mine.pt2").read_bytes() == before


@pytest.mark.parametrize("format", some(FORMATS[::-1], 3))
def test_an_earlier_export_is_replaced(run: RunFolder, exported: Exported, tmp_path: Path, format: str) -> None:
    """Of each format by each: the slow ones by weights alone, and these by all."""
    earlier, _ = exported(format)
    (written,) = earlier.path.glob("Net.*")
    shutil.copyfile(written, tmp_path / "net")
    assert export(run.path, "--safetensors", "-o", tmp_path / "net").exit_code == 0
    assert export(run.path, format, "-o", tmp_path / "net").exit_code == 0
    assert (tmp_path / "net").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("format", some(FORMATS[::-1], 3))
def test_a_file_that_computes_something_else_is_not_kept(
    run: RunFolder, tmp_path: Path, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written is folded wrongly; an earlier file stays."""
    right = inference.fold_norm
    monkeypatch.setattr(inference, "fold_norm", lambda *given: [1.01 * part for part in right(*given)])
    (tmp_path / "net").write_bytes(b"generated by cldfc")
    refused(export(run.path, format, "--fold", "-o", tmp_path / "net"), run, "scores that differ by")
    assert (tmp_path / "net").read_bytes() == b"generated by cldfc"
    assert {path.name for path in tmp_path.iterdir()} == {"run", "net"}


def test_safetensors_that_come_back_otherwise_are_not_kept(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    right = safetensors.load

    def load(data: bytes) -> dict[str, Tensor]:
        found = right(data)
        found["K.weight"].view(torch.int32)[0, 0, 0, 0] ^= 1
        return found

    monkeypatch.setattr(safetensors, "load", load)
    refused(export(run.path, "--safetensors"), run, "another `K.weight`")


def test_scores_that_are_not_finite(run: RunFolder) -> None:
    weights = load_file(run.weights)
    save_file({**weights, "K.weight": weights["K.weight"] * float("nan")}, run.weights)
    refused(export(run.path, "--safetensors"), run, "scores that are not finite")


@pytest.mark.parametrize("missing", [["onnx"], ["onnxscript"], ["onnx", "onnxscript"]], ids="+".join)
def test_onnx_is_not_installed(run: RunFolder, missing: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    found = util.find_spec
    monkeypatch.setattr("cldfc.weights.export.onnx.find_spec", lambda name: None if name in missing else found(name))
    result = export(run.path, "--onnx")
    refused(result, run, f"`--onnx` needs {' and '.join(sorted(missing))}")
    assert "pip install 'cldfc[onnx]'" in result.stderr


@pytest.mark.parametrize(
    ("format", "called"), [("onnx", "cldfc.weights.export.onnx.onnx_program"), ("torch_export", "torch.export.export")]
)
def test_what_torch_cannot_export_is_an_error(
    run: RunFolder, format: str, called: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object, **named: object) -> None:
        raise RuntimeError("no such operator\nand a long story")

    monkeypatch.setattr(called, fail)
    result = export(run.path, f"--{format.replace('_', '-')}")
    refused(result, run, "cannot write Net: RuntimeError: no such operator")
    assert "long story" not in result.stderr
