"""What machine this is: what torch says of it, and which packages are missing."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib import import_module
from typing import Any

NEEDED = ("torch", "lark", "pydantic_core", "annotated_types", "pydantic", "networkx", "safetensors", "numpy", "PIL")
"""What compiling and training import; typer, rich and others are for the command line, reports and other data sets."""
OF_PARTS = {"tests": ("pytest",), "speed": ("torchvision",)}


def look() -> dict[str, Any]:
    """The device, the releases, and the missing packages of each part; torch and cldfc need not be there."""
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "missing": missing_of(NEEDED),
        "missing_of": {part: missing_of(names) for part, names in OF_PARTS.items()},
        "cuda": False,
    }
    if "torch" in found["missing"]:
        return found
    import torch

    found |= {"torch": torch.__version__, "cuda": torch.cuda.is_available(), "cuda_release": torch.version.cuda}
    if found["cuda"]:
        # It fails here where the driver is there and the device is not.
        torch.zeros(1, device="cuda").cpu()
        about = torch.cuda.get_device_properties(0)
        found |= {
            "device": about.name,
            "capability": f"{about.major}.{about.minor}",
            "memory": about.total_memory,
            "devices": torch.cuda.device_count(),
            "cudnn": torch.backends.cudnn.version(),
            "bf16": torch.cuda.is_bf16_supported(including_emulation=False),
        }
    return found


def missing_of(names: Iterable[str]) -> list[str]:
    """The packages that cannot be imported, or what they lack."""
    missing: dict[str, None] = {}
    for name in names:
        try:
            import_module(name)
        except ImportError as error:
            missing[error.name or name] = None
    return list(missing)
