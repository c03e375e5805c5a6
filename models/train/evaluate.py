"""Judges sub-networks of a backbone on Fashion-MNIST's test images.

Prints JSON: for each architecture the top-1, the predicted classes and the
logits of the first images, after recalibration on training images.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from data import (
    DEBIAN,
    Images,
    batches,
    calibration_indices,
    read_images,
)
from network import by_running, forward, recalibrate
from problem import Problem, run
from safetensors_io import read_safetensors
from space import Architecture, Space, architecture_of, read_json, space_of
from supernet import Tensors, check_tensors, cut

CALIBRATION_IMAGES = 2_000


def judge(
    space: Space,
    tensors: Tensors,
    arch: Architecture,
    calibration: Tensor,
    test: Images,
) -> tuple[float, Tensor]:
    """Share of right answers, and the logits, after recalibration."""
    net = cut(space, tensors, arch)
    net = recalibrate(net, batches(space, calibration, arch.r))
    with torch.no_grad():
        logits = torch.cat([
            forward(net, batch, by_running)
            for batch in batches(space, test.pixels, arch.r)
        ])
    right = logits.argmax(1) == test.labels
    return float(right.double().mean()), logits


def read_backbone(
    path: Path, space_path: Path | None
) -> tuple[Space, Tensors]:
    """A backbone and its space: of a file, or of its own metadata."""
    tensors, metadata = read_safetensors(path)
    if space_path is not None:
        space = space_of(read_json(space_path), str(space_path))
    elif "spec" in metadata:
        space = space_of(json.loads(metadata["spec"]), str(path))
    else:
        raise Problem(f"{path}: no search space in its metadata: give --space")
    return space, check_tensors(space, tensors, str(path))


def _raw_logits(
    space: Space, tensors: Tensors, arch: Architecture, path: Path
) -> dict[str, Any]:
    values = torch.from_numpy(numpy.fromfile(path, "<f4"))
    images = values.view(-1, space.in_channels, arch.r, arch.r)
    with torch.no_grad():
        logits = forward(cut(space, tensors, arch), images, by_running)
    return {"logits": logits.tolist()}


def _calibration(images: Tensor, options: argparse.Namespace) -> Tensor:
    if options.calibration is not None:
        return images[read_json(options.calibration)]
    chosen = calibration_indices(len(images), CALIBRATION_IMAGES, options.seed)
    return images[chosen]


def _judge_all(
    space: Space,
    tensors: Tensors,
    archs: list[Architecture],
    options: argparse.Namespace,
) -> list[dict[str, Any]]:
    train = read_images(options.data, "train").pixels
    calibration = _calibration(train, options)
    test = read_images(options.data, "t10k").first(options.test_images)
    results = []
    for arch in archs:
        top1, logits = judge(space, tensors, arch, calibration, test)
        results.append({
            "top1": top1,
            "predictions": "".join(map(str, logits.argmax(1).tolist())),
            "logits": logits[:options.logits].tolist(),
        })
    return results


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--backbone", type=Path, required=True, help="safetensors file")
    add("--space", type=Path, help="its search space, if it has no spec")
    add("--arch", type=Path, required=True, help="JSON: one or a list")
    add("--data", type=Path, default=DEBIAN, help="folder of IDX files")
    add("--calibration", type=Path, help="JSON list of training images")
    add("--seed", type=int, default=1, help="to draw them otherwise")
    add("--test-images", type=int, help="judge on the first ones only")
    add("--logits", type=int, default=4, help="images to print logits of")
    add(
        "--tensor",
        type=Path,
        help="raw float32 [N, C, r, r], ready for the network: print only "
        "its logits, with the backbone's own statistics",
    )
    add("--threads", type=int, default=1)
    return parser.parse_args()


def main() -> int:
    """Runs the command."""
    options = _options()
    torch.set_num_threads(options.threads)
    space, tensors = read_backbone(options.backbone, options.space)
    written = read_json(options.arch)
    archs = [
        architecture_of(space, entry, str(options.arch))
        for entry in (written if isinstance(written, list) else [written])
    ]
    if options.tensor is None:
        results = _judge_all(space, tensors, archs, options)
    else:
        results = [
            _raw_logits(space, tensors, arch, options.tensor)
            for arch in archs
        ]
    print(json.dumps(results))
    return 0


if __name__ == "__main__":
    run("evaluate", main)
