"""Watches a run: its progress, its checkpoints, and signals to stop."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from dataclasses import dataclass, field
from types import FrameType

import checkpoint
from training import Plan, State, Step, progress, steps_per_epoch


@dataclass
class Monitor:
    """Watches steps: reports, saves, and says when to stop."""

    plan: Plan
    state: State
    options: argparse.Namespace
    signum: int = 0
    saved: float = field(default_factory=time.monotonic)
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def on_signal(self, signum: int, _frame: FrameType | None) -> None:
        """Stops after this step; a second signal ends at once."""
        self.signum = signum
        signal.signal(signum, signal.SIG_DFL)

    def on_step(self, step: Step) -> bool:
        """Called after every step; true to stop."""
        self.losses.append(step.loss)
        self.seconds += step.seconds
        if self.state.step % self.options.log_every == 0:
            self._report(step)
        if time.monotonic() - self.saved >= self.options.checkpoint_every:
            self.save()
        return self.signum != 0

    def save(self) -> None:
        """Writes the checkpoint, if one is wanted."""
        if self.options.checkpoint is not None:
            checkpoint.save(self.options.checkpoint, self.plan, self.state)
        self.saved = time.monotonic()

    def _report(self, step: Step) -> None:
        done, state = progress(self.plan, self.state), self.state
        speed = len(self.losses) * self.plan.batch / self.seconds
        left = state.seconds * (1 - done) / done / 60
        line = {
            "step": state.step,
            "epoch": round(state.step / steps_per_epoch(self.plan), 3),
            "phase": state.phase,
            "loss": round(sum(self.losses) / len(self.losses), 4),
            "learning_rate": round(step.rate, 5),
            "images_per_s": round(speed, 1),
            "seconds": round(state.seconds, 1),
        }
        print(
            f"step {state.step} phase {state.phase}: {speed:.0f} images/s, "
            f"loss {line['loss']:.4f}, lr {step.rate:.4f}, "
            f"{left:.1f} min left",
            file=sys.stderr,
            flush=True,
        )
        if self.options.log is not None:
            with self.options.log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        self.losses, self.seconds = [], 0.0
