"""The super-network: its tensors, cutting a sub-network, and running it.

Once for All (arXiv:1908.09791), section 3; the names of tensors are those
of OFA's published MobileNetV3 super-networks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from problem import Problem
from space import (
    Architecture,
    Block,
    Space,
    blocks_of,
    largest,
    squeeze_channels,
)

Tensors = dict[str, Tensor]
Shapes = Iterator[tuple[str, tuple[int, ...]]]

BN_PARTS = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True)
class SubNet:
    """A sub-network: views of the super-network's tensors, or copies.

    ``tensors`` has the names of OFA's static networks, but the blocks keep
    their numbers in the super-network.
    """

    stem_stride: int
    blocks: list[Block]
    tensors: Tensors


def tensor_shapes(space: Space) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of a backbone, in the files' order."""
    return dict(_shapes(space))


def _shapes(space: Space) -> Shapes:
    first, *blocks = blocks_of(space, largest(space, space.resolutions[-1]))
    yield "first_conv.conv.weight", (space.first, space.in_channels, 3, 3)
    yield from _bn_shapes("first_conv.bn", space.first)
    at = "blocks.0.conv"
    yield f"{at}.depth_conv.conv.weight", (first.mid, 1, 3, 3)
    yield from _bn_shapes(f"{at}.depth_conv.bn", first.mid)
    yield f"{at}.point_linear.conv.weight", (first.out, first.mid, 1, 1)
    yield from _bn_shapes(f"{at}.point_linear.bn", first.out)
    for block in blocks:
        yield from _block_shapes(space, block)
    last = (space.final_expand, space.widths[-1], 1, 1)
    yield "final_expand_layer.conv.weight", last
    yield from _bn_shapes("final_expand_layer.bn", space.final_expand)
    mix = (space.last, space.final_expand, 1, 1)
    yield "feature_mix_layer.conv.weight", mix
    yield "classifier.linear.weight", (space.n_classes, space.last)
    yield "classifier.linear.bias", (space.n_classes,)


def _bn_shapes(name: str, channels: int) -> Shapes:
    for part in BN_PARTS:
        yield f"{name}.{part}", (channels,)


def _block_shapes(space: Space, block: Block) -> Shapes:
    at, mid, out = f"blocks.{block.slot}.conv", block.mid, block.out
    expand = (mid, block.before, 1, 1)
    yield f"{at}.inverted_bottleneck.conv.conv.weight", expand
    yield from _bn_shapes(f"{at}.inverted_bottleneck.bn.bn", mid)
    for small, large in zip(space.ks, space.ks[1:]):
        matrix = (small * small, small * small)
        yield f"{at}.depth_conv.conv.{large}to{small}_matrix", matrix
    kernel = (mid, 1, space.ks[-1], space.ks[-1])
    yield f"{at}.depth_conv.conv.conv.weight", kernel
    yield from _bn_shapes(f"{at}.depth_conv.bn.bn", mid)
    if block.se:
        inner = squeeze_channels(mid)
        yield f"{at}.depth_conv.se.fc.reduce.weight", (inner, mid, 1, 1)
        yield f"{at}.depth_conv.se.fc.reduce.bias", (inner,)
        yield f"{at}.depth_conv.se.fc.expand.weight", (mid, inner, 1, 1)
        yield f"{at}.depth_conv.se.fc.expand.bias", (mid,)
    yield f"{at}.point_linear.conv.conv.weight", (out, mid, 1, 1)
    yield from _bn_shapes(f"{at}.point_linear.bn.bn", out)


def new_tensors(space: Space, generator: torch.Generator) -> Tensors:
    """Fresh weights: He's normal by fan-out (arXiv:1502.01852).

    Kernel matrices start as identities: a smaller kernel is the centre of
    the next larger one. A block with a shortcut starts as the shortcut
    alone, its last scale being 0 (arXiv:1706.02677, section 5.1): without
    that, the loss stays where it is for the first 50 steps.
    """
    tensors = {
        name: _new_tensor(name, shape, generator)
        for name, shape in tensor_shapes(space).items()
    }
    for block in blocks_of(space, largest(space, space.resolutions[-1])):
        if block.expands and block.shortcut:
            scale = f"blocks.{block.slot}.conv.point_linear.bn.bn.weight"
            tensors[scale].zero_()
    return tensors


def _new_tensor(
    name: str, shape: tuple[int, ...], generator: torch.Generator
) -> Tensor:
    if name.endswith("_matrix"):
        return torch.eye(shape[0])
    if len(shape) == 1:
        ones = name.endswith(("bn.weight", "running_var"))
        return torch.ones(shape) if ones else torch.zeros(shape)
    # A depthwise kernel's output reaches one channel.
    fan_out = math.prod(shape[2:]) * (1 if shape[1] == 1 else shape[0])
    if name == "classifier.linear.weight":
        fan_out = 2 * shape[1]
    return torch.randn(shape, generator=generator) * math.sqrt(2 / fan_out)


def check_tensors(space: Space, tensors: Tensors, what: str) -> Tensors:
    """The space's tensors in their order, refused unless all are there."""
    shapes = tensor_shapes(space)
    for name, shape in shapes.items():
        if name not in tensors:
            raise Problem(f"{what}: there is no tensor {name}")
        if tuple(tensors[name].shape) != shape:
            raise Problem(
                f"{what}: {name} is {list(tensors[name].shape)}, "
                f"the space has {list(shape)}"
            )
    return {name: tensors[name] for name in shapes}


def is_trained(name: str) -> bool:
    """Whether gradients move a tensor: all but running statistics."""
    return not name.endswith(("running_mean", "running_var"))


def is_decayed(name: str) -> bool:
    """Whether weight decay acts: not on BN, biases and kernel matrices."""
    return not name.endswith(("bn.weight", "bias", "_matrix"))


def cut(space: Space, tensors: Tensors, arch: Architecture) -> SubNet:
    """Cuts a sub-network: always the first channels (OFA, section 3.3).

    Gradients flow through to the super-network's tensors.
    """
    blocks = blocks_of(space, arch)
    parts = {
        name: tensor
        for name, tensor in tensors.items()
        if not name.startswith("blocks.")
    }
    for block in blocks:
        if block.expands:
            _cut_block(space, tensors, block, parts)
        else:
            _take_block(tensors, block, parts)
    return SubNet(space.first_stride, blocks, parts)


def _take_block(tensors: Tensors, block: Block, parts: Tensors) -> None:
    prefix = f"blocks.{block.slot}.conv."
    for name, tensor in tensors.items():
        if name.startswith(prefix):
            parts[f"blocks.{block.slot}.{name[len(prefix):]}"] = tensor


def _cut_block(
    space: Space, tensors: Tensors, block: Block, parts: Tensors
) -> None:
    source, at = f"blocks.{block.slot}.conv", f"blocks.{block.slot}"
    mid, out = block.mid, block.out
    layers = (
        ("inverted_bottleneck", mid, block.before),
        ("depth_conv", mid, None),
        ("point_linear", out, mid),
    )
    for layer, channels, inputs in layers:
        for part in BN_PARTS:
            bn = tensors[f"{source}.{layer}.bn.bn.{part}"]
            parts[f"{at}.{layer}.bn.{part}"] = bn[:channels]
        weight = tensors[f"{source}.{layer}.conv.conv.weight"]
        if inputs is None:
            prefix = f"{source}.{layer}.conv"
            weight = _cut_kernel(
                space, tensors, prefix, weight[:channels], block.kernel
            )
        else:
            weight = weight[:channels, :inputs]
        parts[f"{at}.{layer}.conv.weight"] = weight
    if block.se:
        _cut_squeeze(tensors, block, parts)


def _cut_squeeze(tensors: Tensors, block: Block, parts: Tensors) -> None:
    source = f"blocks.{block.slot}.conv.depth_conv.se.fc"
    at = f"blocks.{block.slot}.depth_conv.se.fc"
    mid, inner = block.mid, squeeze_channels(block.mid)
    for layer, outputs, inputs in (
        ("reduce", inner, mid),
        ("expand", mid, inner),
    ):
        weight = tensors[f"{source}.{layer}.weight"]
        parts[f"{at}.{layer}.weight"] = weight[:outputs, :inputs]
        bias = tensors[f"{source}.{layer}.bias"]
        parts[f"{at}.{layer}.bias"] = bias[:outputs]


def _cut_kernel(
    space: Space, tensors: Tensors, prefix: str, weight: Tensor, size: int
) -> Tensor:
    """Each smaller kernel: the centre of the next larger one, row by row,
    times a matrix that all channels share (OFA, section 3.3)."""
    for small, large in zip(space.ks[-2::-1], space.ks[:0:-1]):
        if large == size:
            break
        edge = (large - small) // 2
        centre = weight[:, :, edge:edge + small, edge:edge + small]
        matrix = tensors[f"{prefix}.{large}to{small}_matrix"]
        flat = F.linear(centre.reshape(-1, small * small), matrix)
        weight = flat.view(-1, 1, small, small)
    return weight
