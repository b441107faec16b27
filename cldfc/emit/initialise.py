"""What a generated module defines beside its class: functions that make kernels, and one that normalises."""

from __future__ import annotations

from cldfc.emit import layout

DEFAULTS = {"stride": "int = 1", "groups": "int = 1", "dilation": "int = 1", "bias": "bool = False"}


def conv_lines(uses: set[str]) -> list[str]:
    """`conv`: He initialisation with the fan of the output; the bias starts at 0.

    torch's own fan_out does not divide by the groups.
    """
    start = ['nn.init.kaiming_normal_(kernel.weight, mode="fan_out", nonlinearity="relu")']
    if "groups" in uses:
        start = ["fan = cout // groups * size**2", "nn.init.normal_(kernel.weight, std=(2 / fan) ** 0.5)"]
    padding = "dilation * (size - 1) // 2" if "dilation" in uses else "size // 2"
    about = "zero padding (size - 1) / 2" + " * dilation" * ("dilation" in uses)
    return [
        *head("conv", ["stride", *extras(uses)], "nn.Conv2d"),
        f'    """A kernel{"" if "bias" in uses else " without bias"}; {about}; He initialisation."""',
        *kernel("nn.Conv2d", uses, [f"padding={padding}"]),
        *(f"    {line}" for line in start),
        *tail(uses),
    ]


def prolong_lines(uses: set[str]) -> list[str]:
    """`prolong`: He initialisation with the cin / groups * size² / stride² terms that a result has on average.

    torch's own for this layout of the weight, fan_out, is cin * size²: it knows neither stride nor groups.
    """
    reach = "dilation * (size - 1) + 1" if "dilation" in uses else "size"
    fan = "2 * groups / cin" if "groups" in uses else "2 / cin"
    what = "A transposed kernel" + " without bias" * ("bias" not in uses)
    return [
        *head("prolong", extras(uses), "nn.ConvTranspose2d", "stride: int"),
        f'    """{what}: `stride` times as large; He initialisation."""',
        f"    excess = {reach} - stride",
        "    padding = max(0, (excess + 1) // 2)",
        *kernel("nn.ConvTranspose2d", uses, ["padding", "2 * padding - excess"]),
        f"    nn.init.normal_(kernel.weight, std=stride / size * ({fan}) ** 0.5)",
        *tail(uses),
    ]


def extras(uses: set[str]) -> list[str]:
    """What a network's kernels have beside sizes and stride, in the order of their parameters."""
    return [name for name in ("groups", "dilation", "bias") if name in uses]


def head(name: str, optional: list[str], result: str, *required: str) -> list[str]:
    """`def conv(…) -> nn.Conv2d:`."""
    parameters = ["cin: int", "cout: int", "size: int", *required, *(f"{n}: {DEFAULTS[n]}" for n in optional)]
    return layout.call(f"def {name}", parameters, f" -> {result}:", 0)


def kernel(module: str, uses: set[str], padding: list[str]) -> list[str]:
    """`kernel = nn.Conv2d(…)`."""
    given = [f"{name}={name}" for name in ("dilation", "groups") if name in uses]
    bias = "bias=bias" if "bias" in uses else "bias=False"
    arguments = ["cin", "cout", "size", "stride", *padding, *given, bias]
    return layout.indent(layout.call(f"kernel = {module}", arguments, "", 1))


def tail(uses: set[str]) -> list[str]:
    """The rest of both."""
    zeros = ["    if kernel.bias is not None:", "        nn.init.zeros_(kernel.bias)"]
    return [*(zeros if "bias" in uses else []), "    return kernel", "", ""]


def shared_norm_lines() -> list[str]:
    """`shared_norm`, for `bn@ℓ`. Statistics that several uses share would be those of none of them."""
    return [
        *layout.call(
            "def shared_norm",
            ["x: torch.Tensor", "shared: nn.BatchNorm2d", "use: nn.BatchNorm2d"],
            " -> torch.Tensor:",
            0,
        ),
        '    """Batch normalisation with a shared scale and shift, and the statistics of one use."""',
        "    if use.training:",
        "        use.num_batches_tracked.add_(1)",
        "    statistics = use.running_mean, use.running_var",
        "    affine = shared.weight, shared.bias",
        "    return F.batch_norm(x, *statistics, *affine, use.training, use.momentum, use.eps)",
        "",
        "",
    ]
