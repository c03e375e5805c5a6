"""Trains a super-network for Fashion-MNIST and writes it as a backbone.

Needs PyTorch and the images only; see README.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import signal
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

import checkpoint
from data import DEBIAN, Images, batches, calibration_indices, read_images
from evaluate import CALIBRATION_IMAGES, judge, read_backbone
from monitor import Monitor
from network import recalibrate
from problem import Problem, run
from safetensors_io import write_safetensors
from space import FASHION_MNIST, Space, largest, named, read_json, space_of
from supernet import Tensors, cut, new_tensors
from training import Plan, State, generator_of, new_state, train


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--out", type=Path, required=True, help="safetensors file to write")
    add("--data", type=Path, default=DEBIAN, help="folder of IDX files")
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--minutes", type=float, help="time to train")
    budget.add_argument("--steps", type=int, help="or steps to train")
    add("--space", type=Path, help="JSON; Fashion-MNIST's by default")
    add("--init", type=Path, help="backbone to go on from (fine-tuning)")
    add("--seed", type=int, default=1)
    add("--batch", type=int, default=64, help="images a step")
    add("--train-images", type=int, help="use the first ones only")
    add("--threads", type=int, default=1)
    add("--checkpoint", type=Path, help="file to save to and go on from")
    add("--checkpoint-every", type=float, default=120.0, metavar="SECONDS")
    add("--log", type=Path, help="file to append JSON lines to")
    add("--log-every", type=int, default=50, metavar="STEPS")
    add(
        "--evaluate",
        type=int,
        default=0,
        metavar="N",
        help="judge named sub-networks on N test images at the end",
    )
    return parser.parse_args()


def _start(
    options: argparse.Namespace, images: Images
) -> tuple[Plan, Tensors]:
    """The plan, and the weights to begin with."""
    if options.init is not None:
        space, tensors = read_backbone(options.init, options.space)
        init = hashlib.sha256(options.init.read_bytes()).hexdigest()
    else:
        spec = FASHION_MNIST
        if options.space is not None:
            spec = read_json(options.space)
        space, init = space_of(spec, str(options.space)), None
        generator = generator_of(options.seed, "weights", 0)
        tensors = new_tensors(space, generator)
    if space.in_channels != 1:
        raise Problem(f"the images are grey; in_channels {space.in_channels}")
    plan = Plan(
        # What a family of this backbone takes is what it was trained on.
        space=replace(space, frame=list(images.pixels.shape[2:])),
        seed=options.seed,
        batch=options.batch,
        train_images=len(images.labels),
        minutes=options.minutes,
        steps=options.steps,
        init=init,
    )
    if not 2 <= plan.batch <= plan.train_images:
        raise Problem(f"--batch {plan.batch}: 2 to {plan.train_images} images")
    if (plan.steps or plan.minutes or 0) <= 0:
        raise Problem("--steps and --minutes are more than 0")
    return plan, tensors


def _write(
    plan: Plan, tensors: Tensors, images: torch.Tensor, out: Path
) -> None:
    """Writes the backbone, with the statistics of the largest."""
    space = plan.space
    arch = largest(space, space.frame_resolution)
    net = cut(space, tensors, arch)
    calibrated = recalibrate(net, batches(space, images, arch.r))
    for name, tensor in calibrated.tensors.items():
        if name.endswith(("running_mean", "running_var")):
            # A view of the super-network's.
            net.tensors[name].copy_(tensor)
    spec = json.dumps(asdict(space))
    write_safetensors(out, tensors, {"spec": spec})


def _evaluation(
    space: Space, tensors: Tensors, images: torch.Tensor, test: Images
) -> dict[str, Any]:
    results = []
    for name, arch in named(space).items():
        top1, _ = judge(space, tensors, arch, images, test)
        results.append({"name": name, "arch": asdict(arch), "top1": top1})
    return {"test_images": len(test.labels), "sub_networks": results}


def _check_folders(options: argparse.Namespace) -> None:
    """Before an hour's work, not after it."""
    for path in (options.out, options.checkpoint, options.log):
        if path is not None and not path.resolve().parent.is_dir():
            raise Problem(f"{path}: there is no such folder")


def _begin(
    plan: Plan, tensors: Tensors, options: argparse.Namespace
) -> State:
    path = options.checkpoint
    if path is None or not path.exists():
        return new_state(plan, tensors)
    state = checkpoint.load(path, plan)
    print(f"going on at step {state.step} of {path}", file=sys.stderr)
    return state


def _train(
    plan: Plan, state: State, images: Images, options: argparse.Namespace
) -> int:
    """Returns 0, or the status to end with if a signal came."""
    monitor = Monitor(plan, state, options)
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(s, monitor.on_signal) for s in signals]
    finished = train(plan, state, images, monitor.on_step)
    monitor.save()
    for signum, handler in zip(signals, before):
        signal.signal(signum, handler)
    if finished:
        return 0
    print(f"stopped at step {state.step}", file=sys.stderr)
    return 128 + monitor.signum


def _finish(
    plan: Plan, state: State, images: Images, options: argparse.Namespace
) -> None:
    """Writes the backbone and judges it."""
    chosen = calibration_indices(
        plan.train_images, CALIBRATION_IMAGES, plan.seed
    )
    calibration = images.pixels[chosen]
    tensors = {name: t.detach() for name, t in state.tensors.items()}
    _write(plan, tensors, calibration, options.out)
    if options.evaluate > 0:
        test = read_images(options.data, "t10k").first(options.evaluate)
        print(json.dumps(_evaluation(plan.space, tensors, calibration, test)))


def main() -> int:
    """Runs the command."""
    options = _options()
    torch.set_num_threads(options.threads)
    # Tiny numbers are a hundred times as slow as zeros.
    torch.set_flush_denormal(True)
    _check_folders(options)
    images = read_images(options.data, "train").first(options.train_images)
    plan, tensors = _start(options, images)
    state = _begin(plan, tensors, options)
    status = _train(plan, state, images, options)
    if status == 0:
        _finish(plan, state, images, options)
    return status


if __name__ == "__main__":
    run("train", main)
