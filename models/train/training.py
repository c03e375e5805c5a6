"""The recipe: what a step does, and when.

Once for All (arXiv:1908.09791) trains the largest network first and then
lets the smaller ones in by and by. The second phase here lets all of them
in at once, by the sandwich rule with in-place distillation (Universally
Slimmable Networks, J. Yu and T. Huang, arXiv:1903.05134): each step trains
the largest on the labels, and the smallest and random ones on the
largest's answers.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from data import Images, augment, preprocess
from network import by_batch, forward
from problem import Problem
from sorting import sort_channels
from space import (
    Architecture,
    Space,
    choose,
    largest,
    random_architecture,
    smallest,
)
from supernet import Tensors, cut, is_decayed, is_trained

MOMENTUM = 0.9
WEIGHT_DECAY = 1e-4
LABEL_SMOOTHING = 0.05
#: For batches of 64; other sizes in proportion (arXiv:1706.02677).
LEARNING_RATE = {1: 0.1, 2: 0.06}
#: Shares of the budget.
WARM_UP = 0.025
PHASE_1 = 0.2
RANDOM_NETWORKS = 2


@dataclass(frozen=True)
class Plan:
    """All that decides what a run does; one of ``minutes`` and ``steps``."""

    space: Space
    seed: int
    batch: int
    train_images: int
    minutes: float | None
    steps: int | None
    #: SHA-256 of the file that the weights come from.
    init: str | None


@dataclass
class State:
    """How far a run is. Phase 1: the largest only; 2: all sub-networks."""

    tensors: Tensors
    optimiser: torch.optim.SGD
    phase: int
    step: int = 0
    #: Spent in steps, of all processes that worked on the run.
    seconds: float = 0.0


@dataclass(frozen=True)
class Step:
    """What a step did: the largest's loss, the rate it learnt at."""

    loss: float
    rate: float
    seconds: float


def new_state(plan: Plan, tensors: Tensors) -> State:
    """The beginning. Weights that were given skip the first phase: they
    are elastic already, and sorting would undo that."""
    phase = 1 if plan.init is None else 2
    return State(tensors, new_optimiser(tensors), phase)


def new_optimiser(tensors: Tensors) -> torch.optim.SGD:
    """SGD with Nesterov's momentum, from a standstill."""
    decayed, others = [], []
    for name, tensor in tensors.items():
        if is_trained(name):
            group = decayed if is_decayed(name) else others
            group.append(tensor.requires_grad_())
    groups = [
        {"params": decayed, "weight_decay": WEIGHT_DECAY},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.SGD(
        groups, lr=LEARNING_RATE[1], momentum=MOMENTUM, nesterov=True
    )


def progress(plan: Plan, state: State) -> float:
    """Share of the budget that is spent, 0 to 1."""
    if plan.steps is not None:
        return min(1.0, state.step / plan.steps)
    return min(1.0, state.seconds / (60 * (plan.minutes or 1.0)))


def learning_rate(plan: Plan, phase: int, share: float) -> float:
    """Warm-up, then half a cosine down to 0 over the whole budget."""
    peak = LEARNING_RATE[phase] * plan.batch / 64
    warm = min(1.0, (share + 1e-4) / WARM_UP)
    return peak * warm * 0.5 * (1 + math.cos(math.pi * share))


def train(
    plan: Plan,
    state: State,
    images: Images,
    on_step: Callable[[Step], bool],
) -> bool:
    """Steps until the budget is spent, or ``on_step`` says to stop.

    Returns whether the budget is spent.
    """
    while (share := progress(plan, state)) < 1.0:
        started = time.monotonic()
        if state.phase == 1 and share >= PHASE_1:
            sort_channels(plan.space, state.tensors)
            state.optimiser = new_optimiser(state.tensors)
            state.phase = 2
        rate = learning_rate(plan, state.phase, share)
        loss = _step(plan, state, images, rate)
        seconds = time.monotonic() - started
        state.step += 1
        state.seconds += seconds
        if on_step(Step(loss, rate, seconds)):
            return progress(plan, state) >= 1.0
    return True


def _step(plan: Plan, state: State, images: Images, rate: float) -> float:
    for group in state.optimiser.param_groups:
        group["lr"] = rate
    # Drawn from the seed and the step alone, so that a run that goes on
    # from a checkpoint draws the same.
    generator = generator_of(plan.seed, "step", state.step)
    pixels, labels = _batch(plan, state.step, images)
    pixels = augment(plan.space, pixels, generator)
    state.optimiser.zero_grad(set_to_none=True)
    teacher, *others = _architectures(plan.space, state.phase, generator)
    logits = _logits(plan.space, state.tensors, teacher, pixels)
    loss = F.cross_entropy(logits, labels, label_smoothing=LABEL_SMOOTHING)
    if not torch.isfinite(loss):
        raise Problem(
            f"step {state.step}: the loss is {loss.item()}: training has "
            "diverged; start again with another --seed or a smaller --batch"
        )
    loss.backward()
    answers = logits.detach().softmax(1)
    for arch in others:
        logits = _logits(plan.space, state.tensors, arch, pixels)
        F.cross_entropy(logits, answers).backward()
    state.optimiser.step()
    return loss.item()


def _logits(
    space: Space, tensors: Tensors, arch: Architecture, pixels: Tensor
) -> Tensor:
    net = cut(space, tensors, arch)
    return forward(net, preprocess(space, pixels, arch.r), by_batch)


def _architectures(
    space: Space, phase: int, generator: torch.Generator
) -> list[Architecture]:
    """What a step trains; the first one on labels.

    Resolutions are elastic, too: the largest sees the upper half of them,
    the smallest mostly the lowest and never the highest.
    """
    rs = space.resolutions
    chosen = [largest(space, choose(rs[len(rs) // 2:], generator))]
    if phase == 2:
        lower = [rs[0], *rs[:max(1, len(rs) - 1)]]
        chosen.append(smallest(space, choose(lower, generator)))
        chosen += [
            random_architecture(space, generator)
            for _ in range(RANDOM_NETWORKS)
        ]
    return chosen


def generator_of(seed: int, stream: str, index: int) -> torch.Generator:
    """A source of randomness of its own for each use."""
    digest = hashlib.sha256(f"{seed} {stream} {index}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def steps_per_epoch(plan: Plan) -> int:
    """Whole batches in the training images."""
    return plan.train_images // plan.batch


def _batch(plan: Plan, step: int, images: Images) -> tuple[Tensor, Tensor]:
    epoch, place = divmod(step, steps_per_epoch(plan))
    order = _order(plan.seed, epoch, plan.train_images)
    chosen = order[place * plan.batch:(place + 1) * plan.batch]
    return images.pixels[chosen], images.labels[chosen]


@lru_cache(maxsize=1)
def _order(seed: int, epoch: int, count: int) -> Tensor:
    generator = generator_of(seed, "epoch", epoch)
    return torch.randperm(count, generator=generator)
