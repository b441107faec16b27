"""What machine this is: what torch says of it, and which packages are missing."""

from __future__ import annotations

import os
import platform
from importlib.util import find_spec
from typing import Any

NEEDED = ("lark", "pydantic", "networkx", "safetensors", "numpy", "PIL")
"""What compiling and training import beside torch."""
OF_PARTS = {"tests": ("pytest",), "speed": ("torchvision",)}


def look() -> dict[str, Any]:
    """The device, the releases, and the missing packages of each part; torch and cldfc need not be there."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "missing": missing,
        "missing_of": {part: [n for n in names if find_spec(n) is None] for part, names in OF_PARTS.items()},
    }
    if find_spec("torch") is None:
        return {**found, "missing": ["torch", *missing], "cuda": False}
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
