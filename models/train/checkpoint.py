"""Saves how far a run is, and takes it up again.

A checkpoint is a safetensors file: weights and momentum, and in its
metadata the plan, the phase, the step and the seconds spent. There is no
state of random numbers to save: each step draws from the seed and its own
number.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from problem import Problem
from safetensors_io import read_safetensors, write_safetensors
from supernet import check_tensors
from training import Plan, State, new_optimiser

WEIGHTS, MOMENTUM = "weights.", "momentum."


def save(path: Path, plan: Plan, state: State) -> None:
    """Replaces the checkpoint, all or nothing."""
    tensors = {WEIGHTS + name: t for name, t in state.tensors.items()}
    for name, tensor in state.tensors.items():
        # Nothing before a tensor's first gradient.
        momentum = state.optimiser.state.get(tensor, {}).get(
            "momentum_buffer"
        )
        if momentum is not None:
            tensors[MOMENTUM + name] = momentum
    progress = {
        "plan": asdict(plan),
        "phase": state.phase,
        "step": state.step,
        "seconds": state.seconds,
    }
    write_safetensors(path, tensors, {"progress": json.dumps(progress)})


def load(path: Path, plan: Plan) -> State:
    """Takes up a run, if it is this plan's."""
    found, metadata = read_safetensors(path)
    try:
        progress = json.loads(metadata["progress"])
        _check_plan(path, asdict(plan), progress["plan"])
        phase, step = int(progress["phase"]), int(progress["step"])
        seconds = float(progress["seconds"])
    except (KeyError, ValueError, TypeError) as error:
        raise Problem(f"{path}: not a checkpoint: {error!r}") from error
    tensors = check_tensors(
        plan.space,
        {
            name.removeprefix(WEIGHTS): tensor
            for name, tensor in found.items()
            if name.startswith(WEIGHTS)
        },
        str(path),
    )
    state = State(tensors, new_optimiser(tensors), phase, step, seconds)
    for name, tensor in tensors.items():
        if MOMENTUM + name in found:
            buffer = found[MOMENTUM + name]
            state.optimiser.state[tensor]["momentum_buffer"] = buffer
    return state


def _check_plan(
    path: Path, plan: dict[str, Any], saved: dict[str, Any]
) -> None:
    different = [
        f"--{key.replace('_', '-')} {_change(saved.get(key), value)}"
        for key, value in plan.items()
        if value != saved.get(key)
    ]
    if different:
        raise Problem(
            f"{path}: a run with other options: {', '.join(different)}; "
            "give the same, or another checkpoint"
        )


def _change(then: object, now: object) -> str:
    if isinstance(then, dict) and isinstance(now, dict):
        keys = [key for key in now if now[key] != then.get(key)]
        return f"(another {', '.join(keys)})"
    return f"(then {json.dumps(then)}, now {json.dumps(now)})"
