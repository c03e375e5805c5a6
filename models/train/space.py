"""The search space of an OFA super-network of MobileNetV3's shape, as data.

Once for All: Train One Network and Specialize it for Efficient Deployment,
H. Cai et al., arXiv:1908.09791. A space is written as the JSON that the
metadata of a backbone (``spec``) holds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from problem import Problem

FASHION_MNIST: dict[str, Any] = {
    "in_channels": 1,
    "first": 16,
    "first_stride": 1,
    "first_block": 16,
    "first_block_stride": 2,
    "widths": [24, 32, 40, 48, 56],
    "strides": [2, 1, 2, 1, 1],
    "acts": ["relu", "relu", "h_swish", "h_swish", "h_swish"],
    "se": [False, True, False, True, True],
    "final_expand": 336,
    "last": 192,
    "n_classes": 10,
    "ks": [3, 5, 7],
    "e": [3, 4, 6],
    "d": [2, 3, 4],
    "resolutions": [20, 24, 28, 32],
    "mean": 0.286,
    "std": 0.353,
    "frame": [28, 28],
}


@dataclass(frozen=True)
class Space:
    """A search space; fields are named as in the written form."""

    in_channels: int
    first: int
    first_stride: int
    first_block: int
    first_block_stride: int
    widths: list[int]
    strides: list[int]
    acts: list[str]
    se: list[bool]
    final_expand: int
    last: int
    n_classes: int
    ks: list[int]
    e: list[float]
    d: list[int]
    resolutions: list[int]
    mean: float | list[float]
    std: float | list[float]
    frame: list[int]

    @property
    def blocks_per_stage(self) -> int:
        """Blocks stored for a stage; an architecture runs the first ones."""
        return max(self.d)

    @property
    def slots(self) -> int:
        """Blocks stored, without the fixed first one."""
        return len(self.widths) * self.blocks_per_stage

    @property
    def frame_resolution(self) -> int:
        """The resolution nearest to the frame's own size."""
        return min(self.resolutions, key=lambda r: abs(r - self.frame[0]))


@dataclass(frozen=True)
class Architecture:
    """One choice: ``ks`` and ``e`` per stored block, ``d`` per stage."""

    ks: list[int]
    e: list[float]
    d: list[int]
    r: int


@dataclass(frozen=True)
class Block:
    """A block that runs, and its number in the super-network."""

    slot: int
    before: int
    mid: int
    out: int
    kernel: int
    stride: int
    act: str
    se: bool
    expands: bool

    @property
    def shortcut(self) -> bool:
        """Whether the block's input is added to its output."""
        return self.stride == 1 and self.before == self.out


def make_divisible(channels: float, divisor: int = 8) -> int:
    """Nearest multiple of the divisor, at most a tenth below (MobileNet)."""
    nearest = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * channels else nearest


def squeeze_channels(channels: int) -> int:
    """Channels of a squeeze-excite's inner layer."""
    return make_divisible(channels // 4)


def space_of(spec: dict[str, Any], what: str) -> Space:
    """A space from its written form; ``frame`` may be absent."""
    largest = max(spec.get("resolutions") or [1])
    known = {"frame": [largest, largest], **spec}
    missing = [f.name for f in fields(Space) if f.name not in known]
    if missing:
        raise Problem(f"{what}: the search space has no {missing[0]}")
    values = {f.name: known[f.name] for f in fields(Space)}
    for key in ("ks", "e", "d", "resolutions"):
        values[key] = sorted(set(values[key]))
    for key in ("strides", "acts", "se"):
        if len(values[key]) != len(values["widths"]):
            raise Problem(
                f"{what}: {key} has {len(values[key])} entries "
                f"for {len(values['widths'])} stages"
            )
    if any(kernel % 2 == 0 for kernel in values["ks"]):
        raise Problem(f"{what}: ks: kernel sizes are odd numbers")
    return Space(**values)


def read_json(path: Path) -> Any:
    """The value in a JSON file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Problem(f"{path}: {error}") from error


def architecture_of(space: Space, written: Any, what: str) -> Architecture:
    """A written architecture (``r``: a number or a list of one), checked."""
    try:
        r = written["r"]
        found = Architecture(
            list(written["ks"]),
            list(written["e"]),
            list(written["d"]),
            r[0] if isinstance(r, list) else r,
        )
    except (KeyError, IndexError, TypeError) as error:
        raise Problem(f"{what}: not an architecture: {error!r}") from error
    for key, values, count, choices in (
        ("ks", found.ks, space.slots, space.ks),
        ("e", found.e, space.slots, space.e),
        ("d", found.d, len(space.widths), space.d),
        ("r", [found.r], 1, space.resolutions),
    ):
        if len(values) != count or not set(values) <= set(choices):
            raise Problem(
                f"{what}: {key} is {values}, expected {count} of {choices}"
            )
    return found


def uniform(space: Space, k: int, e: float, d: int, r: int) -> Architecture:
    """The architecture with the same choice everywhere."""
    slots = space.slots
    return Architecture([k] * slots, [e] * slots, [d] * len(space.widths), r)


def largest(space: Space, r: int) -> Architecture:
    """The architecture that runs all weights."""
    return uniform(space, space.ks[-1], space.e[-1], space.d[-1], r)


def smallest(space: Space, r: int) -> Architecture:
    """The architecture of the smallest choices."""
    return uniform(space, space.ks[0], space.e[0], space.d[0], r)


def _middle(values: list[Any]) -> Any:
    return values[len(values) // 2]


def named(space: Space) -> dict[str, Architecture]:
    """Sub-networks to judge a space by, from the smallest to the largest."""
    side = space.frame_resolution
    middle = [_middle(values) for values in (space.ks, space.e, space.d)]
    chosen = [
        smallest(space, space.resolutions[0]),
        smallest(space, side),
        uniform(space, *middle, side),
        largest(space, side),
        largest(space, space.resolutions[-1]),
    ]
    return {f"k{a.ks[0]} e{a.e[0]} d{a.d[0]} r{a.r}": a for a in chosen}


def choose(values: list[Any], generator: torch.Generator) -> Any:
    """One of the values, each as likely."""
    place = torch.randint(len(values), (), generator=generator)
    return values[int(place)]


def random_architecture(
    space: Space, generator: torch.Generator
) -> Architecture:
    """Every choice drawn by itself, as OFA samples in training."""
    return Architecture(
        [choose(space.ks, generator) for _ in range(space.slots)],
        [choose(space.e, generator) for _ in range(space.slots)],
        [choose(space.d, generator) for _ in space.widths],
        choose(space.resolutions, generator),
    )


def blocks_of(space: Space, arch: Architecture) -> list[Block]:
    """The blocks that an architecture runs, the fixed one first."""
    first = Block(
        slot=0,
        before=space.first,
        mid=space.first,
        out=space.first_block,
        kernel=3,
        stride=space.first_block_stride,
        act="relu",
        se=False,
        expands=False,
    )
    blocks = [first]
    for stage, width in enumerate(space.widths):
        for depth in range(arch.d[stage]):
            place = stage * space.blocks_per_stage + depth
            before = blocks[-1].out
            blocks.append(
                Block(
                    slot=place + 1,
                    before=before,
                    mid=make_divisible(round(before * arch.e[place])),
                    out=width,
                    kernel=arch.ks[place],
                    stride=space.strides[stage] if depth == 0 else 1,
                    act=space.acts[stage],
                    se=space.se[stage],
                    expands=True,
                )
            )
    return blocks
