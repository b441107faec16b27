"""What is trained, and the error for a training that has diverged."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor, nn

from cldfc.data.data_set import DataSet
from cldfc.data.images import Images, standardise
from cldfc.data.loader import Loader
from cldfc.device import Device
from cldfc.diagnostics import UsageError
from cldfc.recipe import Algorithm, Algorithms, Recipe
from cldfc.training.metrics import Choice
from cldfc.training.processes import ALONE, Processes
from cldfc.weights.compiled import Compiled


@dataclass(frozen=True, slots=True)
class Task:
    """What is trained, on what, how, where, and by how many processes: fixed through all epochs.

    `network` holds the weights; `trained` is the same, or what shares its gradient with other processes.
    """

    network: nn.Module
    loader: Loader
    dataset: DataSet
    recipe: Recipe
    device: Device
    trained: nn.Module
    processes: Processes = ALONE
    compiled: Compiled | None = None
    """What the compiler knows of the network, for words about it."""
    algorithms: Algorithms = field(default_factory=dict[str, Algorithm])
    """How convolutions are computed, by their shapes; others in the usual way."""
    is_compiled: bool = False
    """Whether `trained` goes through torch.compile."""

    @property
    def choice(self) -> Choice:
        """How the epoch whose weights are saved is chosen."""
        return "validation" if "validation" in self.loader.parts else "last"

    def scores(self, network: nn.Module, batch: Images) -> Tensor:
        return self.device.scores(network, standardise(batch.pixels, self.dataset))


class Diverged(UsageError):
    """A training whose loss is no longer a number."""


def diverged(found: str, task: Task, origin: str = "") -> Diverged:
    """The error for something that is not finite; `origin` says where that came from, if it is known."""
    recipe, head = task.recipe, task.compiled.head if task.compiled else None
    clip = ", or with `--clip 1`" if recipe.clip is None else ""
    unbounded = f"; no normalisation stands between {head.value} and `linear`" if head else ""
    spec = f"{head.help}, or " if head else ""
    return Diverged(
        f"{found}: training has diverged{origin and f', {origin}'}{unbounded}",
        f"{spec}start another run with a lower `--lr` (now {recipe.lr:g}), for instance {recipe.lr / 4:g}{clip}",
    )
