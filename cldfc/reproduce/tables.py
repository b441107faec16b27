"""Tables 1 to 4 of the paper as data: the printed figures of each row, its spec, and its recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import product

from cldfc.compilation import Compilation, read_changes
from cldfc.data.catalogue import changed_recipe, find, is_folder
from cldfc.data.data_set import DataSet
from cldfc.diagnostics import UsageError, choices
from cldfc.library import folder
from cldfc.recipe import Recipe, change_recipe
from cldfc.syntax.read import read_source

_DECAY_18, _DECAY_34 = 1e-4, 1e-3
"""Weight decay of ResNet18 and of ResNet34 types, section 5.1."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """A network in a table, with the figures that the paper prints for it."""

    name: str
    spec: str
    accuracies: tuple[float, ...]
    """Printed accuracies in percent, one for each data set of the table."""
    parameters: str = ""
    """The printed number of parameters, such as `9.7M`."""
    lets: tuple[str, ...] = ()
    weight_decay: float = _DECAY_18
    reading: str = ""
    """The reading of the paper that this row follows, in one word, if there are several."""
    key: str = ""
    """The name for run folders, if several rows have the same spec."""

    @property
    def folder(self) -> str:
        return self.key or self.spec.replace("/", "-")

    @property
    def title(self) -> str:
        return f"{self.name} {self.reading}".rstrip()


@dataclass(frozen=True, slots=True)
class Question:
    """A question answered by the differences in accuracy between pairs of networks trained with the same seed."""

    title: str
    pairs: tuple[tuple[str, str], ...]
    """Pairs of `TableRow.folder`; the second accuracy is subtracted from the first."""


@dataclass(frozen=True, slots=True)
class Table:
    name: str
    title: str
    datasets: tuple[str, ...]
    """The data sets it was measured on; the printed parameters are for the number of classes of the last one."""
    rows: tuple[TableRow, ...]
    miniature_epochs: int = 8
    """Epochs of the miniature on `digits`."""
    note: str = ""
    comparisons: tuple[Question, ...] = ()


_FORMS = ("K *", "σ ∘ K *", "K * σ", "σ ∘ K * σ")
"""The forms (4.7), in the order in which Table 1 lists them for ℬ."""

_KEYS = {"K *": "K", "σ ∘ K *": "sK", "K * σ": "Ks", "σ ∘ K * σ": "sKs"}

# In the order of Table 1, which lists the forms in a different order for 𝒜 and for ℬ.
_SCHEMES = tuple(product(("K *", "K * σ", "σ ∘ K *", "σ ∘ K * σ"), _FORMS))
_SCHEME_ACCURACIES = (
    *(70.96, 92.82, 93.01, 93.49),
    *(92.64, 92.54, 93.46, 93.15),
    *(91.91, 92.14, 93.37, 93.17),
    *(92.70, 93.23, 93.37, 93.40),
)


def _scheme(form_a: str, form_b: str, accuracy: float) -> TableRow:
    a, b = form_a.replace("K", "A@ℓ"), form_b.replace("K", "B@ℓ,i")
    return TableRow(
        name=f"𝒜 = {a}, ℬ = {b}",
        spec="fbresnet",
        accuracies=(accuracy,),
        lets=(f"𝒜@ℓ = {a}", f"ℬ@ℓ,i = {b}"),
        key=_scheme_key(form_a, form_b),
    )


def _scheme_key(form_a: str, form_b: str) -> str:
    return "fbresnet-" + _KEYS[form_a].replace("K", "A") + "-" + _KEYS[form_b].replace("K", "B")


_LINEAR, *_NONLINEAR = _FORMS

# Only with ℬ nonlinear: if both are linear, the scheme has a single normalisation, and would dominate the mean.
_LINEAR_A = tuple(
    Question(
        f"𝒜 = {_LINEAR.replace('K', 'A@ℓ')} − {form.replace('K', 'A@ℓ')}, ℬ nonlinear",
        tuple((_scheme_key(_LINEAR, b), _scheme_key(form, b)) for b in _NONLINEAR),
    )
    for form in _NONLINEAR
)

_TABLE_1 = Table(
    "table1",
    "FB-ResNet (Algorithm 2) with linear and nonlinear 𝒜 and ℬ",
    ("cifar10",),
    tuple(_scheme(a, b, accuracy) for (a, b), accuracy in zip(_SCHEMES, _SCHEME_ACCURACIES, strict=True)),
    # After 8 epochs all schemes are near 99 %, too close to compare.
    miniature_epochs=3,
    comparisons=_LINEAR_A,
)

_FAMILIES = {
    "ResNet18": "resnet18",
    "pre-act ResNet18": "preact18",
    "ResNet34": "resnet34",
    "pre-act ResNet34": "preact34",
}


def _sharing_a(folder: str, endings: Sequence[str], families: Sequence[str]) -> tuple[Question, ...]:
    """A^ℓ against A^ℓ,i: over all families and sharings of B, then in each family separately, with B^ℓ,i."""
    specs = {family: folder + _FAMILIES[family] for family in families}
    pairs = tuple((f"{spec}_Al{ending}", f"{spec}{ending}") for spec in specs.values() for ending in endings)
    title = "A^ℓ − A^ℓ,i"
    return (
        Question(title, pairs),
        *(Question(f"{title}, {family}, B^ℓ,i", ((f"{spec}_Al", spec),)) for family, spec in specs.items()),
    )


def _sharing_b(reading: str, ending: str) -> Question:
    """B^ℓ in one of its readings against B^ℓ,i, over all families and both sharings of A."""
    pairs = tuple((f"{spec}{a}_Bl{ending}", f"{spec}{a}") for spec in _FAMILIES.values() for a in ("", "_Al"))
    return Question(f"B^ℓ {reading} − B^ℓ,i", pairs)


_TABLE_2 = Table(
    "table2",
    "ResNet18 and pre-act ResNet18 with one A for each level",
    ("mnist",),
    (
        TableRow("ResNet18-A^ℓ,i-B^ℓ,i", "resnet18", (99.56,), "11M"),
        TableRow("ResNet18-A^ℓ-B^ℓ,i", "resnet18_Al", (99.58,), "8.0M"),
        TableRow("pre-act ResNet18-A^ℓ,i-B^ℓ,i", "preact18", (99.61,), "11M"),
        TableRow("pre-act ResNet18-A^ℓ-B^ℓ,i", "preact18_Al", (99.64,), "8.0M"),
    ),
    comparisons=_sharing_a("", ("",), ("ResNet18", "pre-act ResNet18")),
)


def _both_readings(row: TableRow) -> tuple[TableRow, TableRow]:
    """A row with a shared B in two readings: that of the paper's text, and that of its printed parameter count."""
    text, counted = (
        TableRow(row.name, row.spec + ending, row.accuracies, row.parameters, (), row.weight_decay, reading)
        for ending, reading in (("", "text"), ("_printed", "counted"))
    )
    return text, counted


_TABLE_3 = Table(
    "table3",
    "ResNet and pre-act ResNet in four sharings",
    ("cifar10", "cifar100"),
    (
        TableRow("ResNet18-A^ℓ,i-B^ℓ,i", "resnet18", (93.45, 74.45), "11M"),
        TableRow("ResNet18-A^ℓ-B^ℓ,i", "resnet18_Al", (93.54, 74.46), "8.1M"),
        *_both_readings(TableRow("ResNet18-A^ℓ,i-B^ℓ", "resnet18_Bl", (93.35, 72.78), "9.7M")),
        *_both_readings(TableRow("ResNet18-A^ℓ-B^ℓ", "resnet18_Al_Bl", (93.32, 72.56), "6.6M")),
        TableRow("pre-act ResNet18-A^ℓ,i-B^ℓ,i", "preact18", (93.75, 74.33), "11M"),
        TableRow("pre-act ResNet18-A^ℓ-B^ℓ,i", "preact18_Al", (93.83, 74.51), "8.1M"),
        *_both_readings(TableRow("pre-act ResNet18-A^ℓ,i-B^ℓ", "preact18_Bl", (93.80, 72.67), "9.7M")),
        *_both_readings(TableRow("pre-act ResNet18-A^ℓ-B^ℓ", "preact18_Al_Bl", (93.45, 72.81), "6.6M")),
        TableRow("ResNet34-A^ℓ,i-B^ℓ,i", "resnet34", (94.71, 77.20), "21M", (), _DECAY_34),
        TableRow("ResNet34-A^ℓ-B^ℓ,i", "resnet34_Al", (94.84, 77.24), "13M", (), _DECAY_34),
        *_both_readings(TableRow("ResNet34-A^ℓ,i-B^ℓ", "resnet34_Bl", (93.94, 75.31), "15M", (), _DECAY_34)),
        *_both_readings(TableRow("ResNet34-A^ℓ-B^ℓ", "resnet34_Al_Bl", (93.79, 74.79), "6.7M", (), _DECAY_34)),
        TableRow("pre-act ResNet34-A^ℓ,i-B^ℓ,i", "preact34", (94.76, 77.25), "21M", (), _DECAY_34),
        TableRow("pre-act ResNet34-A^ℓ-B^ℓ,i", "preact34_Al", (94.84, 77.40), "13M", (), _DECAY_34),
        *_both_readings(TableRow("pre-act ResNet34-A^ℓ,i-B^ℓ", "preact34_Bl", (93.94, 75.36), "15M", (), _DECAY_34)),
        *_both_readings(TableRow("pre-act ResNet34-A^ℓ-B^ℓ", "preact34_Al_Bl", (93.75, 75.82), "6.7M", (), _DECAY_34)),
    ),
    note="text: B^ℓ,i is shared for i = 1..ν_ℓ, as section 5.2 says; counted: a reconstruction by counting,\n"
    "in which pooling applies R first and the shared B^ℓ after it, (6.4), and level 1 is not shared",
    comparisons=(
        *_sharing_a("", ("", "_Bl", "_Bl_printed"), tuple(_FAMILIES)),
        _sharing_b("text", ""),
        _sharing_b("counted", "_printed"),
    ),
)

_TABLE_4 = Table(
    "table4",
    "ResNet18 and pre-act ResNet18 with one A for each level, on ImageNet",
    ("imagenet",),
    (
        TableRow("ResNet18-A^ℓ,i-B^ℓ,i", "imagenet/resnet18", (70.23,), "11.7M"),
        TableRow("ResNet18-A^ℓ-B^ℓ,i", "imagenet/resnet18_Al", (69.45,), "8.6M"),
        TableRow("pre-act ResNet18-A^ℓ,i-B^ℓ,i", "imagenet/preact18", (70.46,), "11.7M"),
        TableRow("pre-act ResNet18-A^ℓ-B^ℓ,i", "imagenet/preact18_Al", (69.78,), "8.6M"),
    ),
    comparisons=_sharing_a("imagenet-", ("",), ("ResNet18", "pre-act ResNet18")),
)

TABLES = {table.name: table for table in (_TABLE_1, _TABLE_2, _TABLE_3, _TABLE_4)}


def find_tables(name: str) -> tuple[Table, ...]:
    if name == "all":
        return tuple(TABLES.values())
    if name not in TABLES:
        raise UsageError(f"there is no table `{name}`", choices(name, [*TABLES, "all"], "the tables are"))
    return (TABLES[name],)


def select_rows(tables: Sequence[Table], patterns: Sequence[str]) -> tuple[Table, ...]:
    """The tables with only the rows that match a pattern such as `resnet18*`; empty tables are dropped.

    Patterns match names of specs and of run folders. Raises UsageError for one that matches nothing.
    """
    if not patterns:
        return tuple(tables)
    rows = [row for table in tables for row in table.rows]
    for pattern in patterns:
        if not any(_is_meant(row, [pattern]) for row in rows):
            known = [row.folder for row in rows]
            raise UsageError(f"`--rows {pattern}` matches no row", choices(pattern, known, "the rows are"))
    selected = (replace(table, rows=tuple(r for r in table.rows if _is_meant(r, patterns))) for table in tables)
    return tuple(table for table in selected if table.rows)


def _is_meant(row: TableRow, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for name in (row.spec, row.folder) for pattern in patterns)


DIGITS = "digits"
"""The default data set of the miniatures."""

DIGITS_WIDTHS = "c = 16, 32, 64, 128"
"""Channels of the miniatures on `digits`, level by level: a quarter of the paper's."""

WIDTHS = "c = 8, 16, 32, 64"
"""Channels of the miniatures on other data sets: an eighth of the paper's."""

_EPOCHS = 12

IMAGES = 6_000
"""Most training images of a miniature on another data set; it is tested on all test images."""

_CLASS_FOLDERS = (3, 32, 32)


def find_dataset(name: str) -> DataSet:
    return find(name, _CLASS_FOLDERS if is_folder(name) else None)


def widths_of(dataset: str) -> str:
    return DIGITS_WIDTHS if dataset == DIGITS else WIDTHS


def recipe_of(table: Table, row: TableRow, name: str, is_miniature: bool, changes: Mapping[str, object]) -> Recipe:
    """The recipe of a row on a data set: that of the data set, with the row's weight decay.

    A miniature on `digits` has the recipe of `digits`, except for the epochs; on another data set it has fewer epochs
    and images. There the steps of the learning rate scale with the number of epochs. Raises UsageError.
    """
    dataset = find_dataset(name)
    if is_miniature and name == DIGITS:
        return change_recipe(dataset.recipe, {"epochs": table.miniature_epochs, **changes})
    defaults: dict[str, object] = {"weight_decay": row.weight_decay}
    if is_miniature:
        defaults["epochs"] = _EPOCHS
        # If the number of images is unknown, this may ask for too many, which is refused when they are read.
        defaults["images"] = IMAGES if not 0 < dataset.images[0] <= IMAGES else None
    return changed_recipe(dataset.recipe, {**defaults, **changes})


def network_of(row: TableRow, dataset: str, is_miniature: bool) -> Compilation:
    """The network of a row for a data set. Raises UsageError if the spec cannot be read."""
    images = find_dataset(dataset)
    lets = (*row.lets, widths_of(dataset)) if is_miniature else row.lets
    changes = read_changes(lets).on(images.name, images.shape, images.classes)
    return Compilation(read_source(folder() / f"{row.spec}.cldf"), changes)
