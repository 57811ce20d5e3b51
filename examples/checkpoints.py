"""Checkpoints from which a run goes on as if it had never stopped."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

History = list[dict[str, float]]  # one entry per epoch

#: Options that a run is made of: a checkpoint fits only a run in which all of them are the same.
#: The others (how long, where, on what) may change when it goes on.
IDENTITY = (
    "dataset", "likelihood", "latent", "hidden", "beta", "batch_size", "lr", "seed",
)  # fmt: skip


def save(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    history: History,
    options: argparse.Namespace,
) -> None:
    """Writes another file and renames it, so that a whole checkpoint is there at any time."""
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": len(history),
        "history": history,
        "rng": torch.get_rng_state(),  # the only generators in use are torch's
        "cuda_rng": torch.cuda.get_rng_state_all() if options.device.type == "cuda" else [],
        "options": {name: getattr(options, name) for name in IDENTITY},
    }
    unfinished = path.with_suffix(".tmp")
    torch.save(state, unfinished)
    os.replace(unfinished, path)


def load(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, options: argparse.Namespace
) -> History:
    """Puts everything back as it was after the checkpoint's last epoch. Returns the history."""
    if not path.exists():
        raise SystemExit(f"error: there is no checkpoint {path}")
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    _check_same_options(path, state["options"], options)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["rng"])
    if options.device.type == "cuda" and state["cuda_rng"]:
        torch.cuda.set_rng_state_all(state["cuda_rng"])
    print(f"{path}: going on after epoch {state['epoch']}")
    history: History = state["history"]
    return history


def _check_same_options(path: Path, saved: dict[str, Any], options: argparse.Namespace) -> None:
    clashes = [
        f"--{name.replace('_', '-')} {saved[name]} (now {getattr(options, name)})"
        for name in IDENTITY
        if saved[name] != getattr(options, name)
    ]
    if clashes:
        raise SystemExit(
            f"error: {path} is from a run with {', '.join(clashes)}. "
            "Give the same options, another --out, or --no-resume to start anew."
        )
