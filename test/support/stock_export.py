"""Exports a sub-network to ONNX as OFA's own modules would come out.

For the bench, which compares the project's graphs with these. Nothing here
is made for speed: the modules are written as MobileNetV3 is in OFA (hard
swish and hard sigmoid from relu6, the global mean as two means), and
``torch.onnx.export`` does what it does by default, folding the batch
normalisation into convolutions among it. The running statistics are the
backbone's own.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TRAIN = Path(__file__).resolve().parents[2] / "models" / "train"
# Before the imports from there.
sys.path.insert(0, str(TRAIN))

from evaluate import read_backbone
from network import BN_EPS
from problem import run
from space import Block, architecture_of, read_json
from supernet import SubNet, Tensors, cut

OPSET = 13


class HardSwish(nn.Module):
    """x * relu6(x + 3) / 6."""

    def forward(self, x: Tensor) -> Tensor:
        """Of any shape."""
        return x * F.relu6(x + 3.0) / 6.0


class HardSigmoid(nn.Module):
    """relu6(x + 3) / 6."""

    def forward(self, x: Tensor) -> Tensor:
        """Of any shape."""
        return F.relu6(x + 3.0) / 6.0


class GlobalMean(nn.Module):
    """The mean over the width, then over the height."""

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] to [N, C, 1, 1]."""
        return x.mean(3, keepdim=True).mean(2, keepdim=True)


class SqueezeExcite(nn.Module):
    """Scales the channels by a gate."""

    def __init__(self, tensors: Tensors, at: str) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            GlobalMean(),
            _conv(tensors, f"{at}.reduce"),
            nn.ReLU(),
            _conv(tensors, f"{at}.expand"),
            HardSigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W], the same out."""
        return x * self.gate(x)


class Shortcut(nn.Module):
    """Adds the input to the output."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W], the same out."""
        return self.body(x) + x


def _conv(
    tensors: Tensors, name: str, stride: int = 1, groups: int = 1
) -> nn.Conv2d:
    weight, bias = tensors[f"{name}.weight"], tensors.get(f"{name}.bias")
    out, inputs, size, _ = weight.shape
    conv = nn.Conv2d(
        inputs * groups,
        out,
        size,
        stride,
        size // 2,
        groups=groups,
        bias=bias is not None,
    )
    conv.weight.data = weight.contiguous()
    if bias is not None:
        conv.bias.data = bias.contiguous()
    return conv


def _norm(tensors: Tensors, name: str) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(len(tensors[f"{name}.weight"]), BN_EPS)
    for part in ("weight", "bias", "running_mean", "running_var"):
        getattr(norm, part).data = tensors[f"{name}.{part}"].contiguous()
    return norm


def _layer(
    tensors: Tensors,
    name: str,
    act: str | None,
    stride: int = 1,
    groups: int = 1,
) -> list[nn.Module]:
    """Convolution, batch normalisation, and the activation if any."""
    layers: list[nn.Module] = [
        _conv(tensors, f"{name}.conv", stride, groups),
        _norm(tensors, f"{name}.bn"),
    ]
    if act is not None:
        layers.append(nn.ReLU() if act == "relu" else HardSwish())
    return layers


def _block(tensors: Tensors, block: Block) -> nn.Module:
    at = f"blocks.{block.slot}"
    layers: list[nn.Module] = []
    if block.expands:
        layers += _layer(tensors, f"{at}.inverted_bottleneck", block.act)
    layers += _layer(
        tensors, f"{at}.depth_conv", block.act, block.stride, block.mid
    )
    if block.se:
        layers.append(SqueezeExcite(tensors, f"{at}.depth_conv.se.fc"))
    layers += _layer(tensors, f"{at}.point_linear", None)
    body = nn.Sequential(*layers)
    return Shortcut(body) if block.shortcut else body


def stock_network(net: SubNet) -> nn.Module:
    """A cut sub-network as plain modules in evaluation mode."""
    tensors = net.tensors
    weight = tensors["classifier.linear.weight"]
    classifier = nn.Linear(weight.shape[1], weight.shape[0])
    classifier.weight.data = weight
    classifier.bias.data = tensors["classifier.linear.bias"]
    return nn.Sequential(
        *_layer(tensors, "first_conv", "h_swish", net.stem_stride),
        *(_block(tensors, block) for block in net.blocks),
        *_layer(tensors, "final_expand_layer", "h_swish"),
        GlobalMean(),
        _conv(tensors, "feature_mix_layer.conv"),
        HardSwish(),
        nn.Flatten(),
        classifier,
    ).eval()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--weights", type=Path, required=True, help="backbone, safetensors")
    add("--space", type=Path, help="its search space, if it has no spec")
    add("--arch", type=Path, required=True, help="JSON")
    add("--out", type=Path, required=True, help="ONNX file to write")
    return parser.parse_args()


def main() -> int:
    """Runs the command."""
    options = _options()
    torch.set_num_threads(1)
    space, tensors = read_backbone(options.weights, options.space)
    arch = architecture_of(space, read_json(options.arch), str(options.arch))
    with torch.no_grad():
        network = stock_network(cut(space, tensors, arch))
    torch.onnx.export(
        network,
        torch.zeros(1, space.in_channels, arch.r, arch.r),
        str(options.out),
        input_names=["image"],
        output_names=["logits"],
        opset_version=OPSET,
    )
    return 0


if __name__ == "__main__":
    run("stock_export", main)
