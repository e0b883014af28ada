"""Training of the predictor: 50 epochs of 8,000 samples, as the proof of concept did.

Synthetic signals are trained on twice in one run: by `fit_model`, which holds the whole set in
memory, and by the usual loop over a `DataLoader` with `torch.optim.Adam`. Both do the same number
of steps on the same model, on one thread. The proof of concept published 3 minutes on an RTX
2080 Ti.

With --shipped the default model is trained on the shipped episodes too, as `salus train` does;
five minutes on two cores were asked.

    python benchmark/bench_training.py [--json] [--samples 8000] [--device cpu] [--shipped]
"""

import argparse
import json
import os
import tempfile
import time

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from salus_ros.core.failures import FAILURE_TYPES, FailureType
from salus_ros.core.labels import horizon_labels
from salus_ros.core.schema import SIGNALS, horizon_steps
from salus_ros.evaluation.predictor_evaluation import evaluate
from salus_ros.prediction.config import PRESETS, TrainingConfig
from salus_ros.prediction.models import FailureMLP
from salus_ros.training.acceleration import acceleration
from salus_ros.training.batches import Part
from salus_ros.training.dataset import load_samples
from salus_ros.training.fitting import FitResult, fit_model
from salus_ros.training.train import train_predictor

PUBLISHED_S = 180.0
ASKED_SHIPPED_S = 300.0
EPISODE_STEPS = 200
TRAIN_SHARE = 0.8
WARNING_STEPS = 20


def synthetic_samples(count: int, seed: int = 0) -> tuple[Part, ...]:
    """Standardised signals, one of which rises before each failure; 80 % to train on."""
    rng = np.random.default_rng(seed)
    episodes = -(-count // EPISODE_STEPS)
    features = rng.normal(size=(episodes, EPISODE_STEPS, len(SIGNALS))).astype(np.float32)
    labels = []
    for number in range(episodes):
        kind = (FailureType.NONE, *FAILURE_TYPES)[number % 5]
        failed = kind != FailureType.NONE
        step = EPISODE_STEPS if failed else -1
        labels.append(horizon_labels(EPISODE_STEPS, step, kind, horizon_steps()))
        if failed:
            left = EPISODE_STEPS - np.arange(EPISODE_STEPS)
            features[number, :, kind] += 4 * np.clip(1 - left / WARNING_STEPS, 0, 1)
    flat = features.reshape(-1, len(SIGNALS))[:count]
    targets = np.concatenate(labels)[:count]
    cut = int(TRAIN_SHARE * count)
    return tuple(_part(flat[rows], targets[rows]) for rows in (slice(cut), slice(cut, None)))


def _part(features: NDArray[np.float32], labels: NDArray[np.bool_]) -> Part:
    every = np.ones(len(features), np.bool_)
    return Part(features, labels, every, (len(features),), np.ones((1, 2), np.bool_))


def fit(train: Part, validation: Part, config: TrainingConfig, device: str) -> FitResult:
    """The training as SALUS does it."""
    with acceleration(device, config.precision) as accelerator:
        return fit_model(train, validation, config, accelerator)


def data_loader_loop(train: Part, validation: Part, config: TrainingConfig, device: str) -> None:
    """The training as it is usually written."""
    tensors = [
        torch.from_numpy(array.astype(np.float32).reshape(len(array), -1))
        for array in (train.features, train.labels, validation.features, validation.labels)
    ]
    loader = DataLoader(TensorDataset(*tensors[:2]), config.batch_size, shuffle=True)
    check = DataLoader(TensorDataset(*tensors[2:]), config.batch_size)
    model = FailureMLP(tensors[0].shape[1], config.hidden, tensors[1].shape[1], config.dropout)
    model.to(device)
    loss_of = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(config.pos_weight, device=device))
    optimizer = torch.optim.Adam(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=config.scheduler_factor, patience=config.scheduler_patience
    )
    for _ in range(config.epochs):
        model.train()
        for batch, labels in loader:
            optimizer.zero_grad()
            loss_of(model(batch.to(device)), labels.to(device)).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            losses = [float(loss_of(model(x.to(device)), y.to(device))) for x, y in check]
        scheduler.step(sum(losses) / len(losses))


def train_shipped(device: str) -> float:
    """Seconds of `salus train shipped:standard`, loading and evaluation included."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        config = next(iter(PRESETS.values()))
        train_predictor(load_samples(["shipped:standard"]), folder, evaluate, config, device)
    return time.perf_counter() - started


def main() -> None:
    """Measure both, and print seconds and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=8000)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--shipped", action="store_true", help="the default model, too")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    # As `fit_model` does by itself. With torch's default the loop is hardly faster on a quiet
    # machine and tens of times slower beside another job, which would be no fair comparison.
    torch.set_num_threads(1)
    config = TrainingConfig()
    train, validation = synthetic_samples(arguments.samples)

    # The first use of torch.optim imports torch's compiler, some seconds; one epoch of each
    # beforehand leaves the loops themselves to be compared.
    warm_up = TrainingConfig(epochs=1)
    fit(train, validation, warm_up, arguments.device)
    data_loader_loop(train, validation, warm_up, arguments.device)

    started = time.perf_counter()
    result = fit(train, validation, config, arguments.device)
    ours_s = time.perf_counter() - started
    started = time.perf_counter()
    data_loader_loop(train, validation, config, arguments.device)
    loop_s = time.perf_counter() - started

    figures = {
        "benchmark": "training",
        "samples": arguments.samples,
        "epochs": len(result.history),
        "device": arguments.device,
        "cores": os.cpu_count(),
        "validation_f1": result.history[result.epoch - 1].validation_f1,
        "seconds": round(ours_s, 3),
        "data_loader_seconds": round(loop_s, 3),
        "published_seconds": PUBLISHED_S,
        "times_faster_than_data_loader": round(loop_s / ours_s, 2),
        "times_faster_than_published": round(PUBLISHED_S / ours_s, 1),
    }
    if arguments.shipped:
        figures["shipped_seconds"] = round(train_shipped(arguments.device), 1)
        figures["asked_shipped_seconds"] = ASKED_SHIPPED_S
    if arguments.json:
        print(json.dumps(figures))
        return
    print(f"training {figures['epochs']} epochs of {arguments.samples} samples "
          f"on {arguments.device} ({figures['cores']} cores)")  # fmt: skip
    print(f"  in memory, as salus trains    {ours_s:7.2f} s")
    print(f"  DataLoader and torch.optim    {loop_s:7.2f} s  ({loop_s / ours_s:.1f} x)")
    print(f"  published (RTX 2080 Ti)       {PUBLISHED_S:7.2f} s  ({PUBLISHED_S / ours_s:.0f} x)")
    if arguments.shipped:
        print(f"  default model, shipped set    {figures['shipped_seconds']:7.2f} s  "
              f"(asked: {ASKED_SHIPPED_S:.0f} s)")  # fmt: skip


if __name__ == "__main__":
    main()
