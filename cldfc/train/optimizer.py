"""The optimizer of a recipe, and the learning rate at each of its steps."""

from __future__ import annotations

import math

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from cldfc.train.recipe import Recipe

# Runs are hundreds to thousands of steps long: the usual 0.999 would remember the first of them.
SQUARES = 0.99


def make_optimizer(network: nn.Module, recipe: Recipe) -> Optimizer:
    parameters, decay = network.parameters(), recipe.weight_decay
    if recipe.optimizer == "adamw":
        betas = (recipe.momentum, SQUARES)
        return AdamW(parameters, recipe.lr, betas, weight_decay=decay, fused=True)
    return SGD(parameters, recipe.lr, recipe.momentum, weight_decay=decay, fused=True)


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The rate at a step, counted from 0, of `steps` in all: a linear rise, then a fall by the recipe's schedule."""
    rise = recipe.warmup * steps
    if step + 1 < rise:
        return recipe.lr * (step + 1) / rise
    if recipe.schedule == "step":
        drops = step * recipe.epochs // steps // recipe.drop_every
        return recipe.lr / recipe.drop_by**drops
    return recipe.lr * (1 + math.cos(math.pi * (step - rise + 1) / (steps - rise + 1))) / 2
