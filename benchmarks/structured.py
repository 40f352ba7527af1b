"""Structured pruning beside Torch-Pruning: time, size, and accuracy after the same fine-tuning.

    pip install torch-pruning
    python benchmarks/structured.py

Both cut the same share of hidden units out of each layer of the same trained networks. Each library
scores by its own defaults, by magnitude and by Taylor expansion. "same score" is Torch-Pruning told
to score as this course does, so that only the cutting differs: `pruning.shrink` moves the constant
that a pruned unit puts out into the next layer, Torch-Pruning drops it. "small dense" is a network
of the same widths with first weights of its own, given all the steps that the others had. Seed s
tests on fold s. The libraries take turns within a seed. Nothing is chosen on test data.

It writes benchmarks/results/torch_pruning.json.
"""

import copy
import json
import platform
import statistics
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch_pruning as tp
from torch import nn

from course_lib import data, evidence, networks, pruning, training

SEEDS = range(10)
SHARES = (0.5, 0.75)  # of the hidden units of each layer
STEPS = 300  # before pruning, and again after it
ITEMS = 300  # of the training set, in one batch, for Taylor scores
REPEATS = 5  # of each pruning; its time is their median
RESULT = Path(__file__).parent / "results" / "torch_pruning.json"
BUILD = {
    "MLP": lambda seed, widths=(300, 100): networks.mlp((64, *widths, 10), seed=seed),
    "conv": lambda seed, widths=(16, 32): networks.convnet(widths, seed=seed),
}


def ours(score, norm):
    def prune(model, share, batch):
        rule = pruning.units(pruning.layerwise_mask, norm=norm)
        pruning.prune(model, share, score=lambda m: score(m, batch), rule=rule)
        return pruning.shrink(model)

    return prune


def theirs(importance, needs_gradient=False):
    def prune(model, share, batch):
        if needs_gradient:
            nn.functional.cross_entropy(model(batch.x), batch.y).backward()
        pruner = tp.pruner.BasePruner(
            model,
            batch.x[:1],
            importance=importance,
            pruning_ratio=share,
            ignored_layers=[model[-1]],  # the output keeps its units
        )
        pruner.step()
        model.zero_grad()
        return model

    return prune


ARMS = {
    "ours, magnitude": ours(lambda m, batch: pruning.magnitude(m), norm=2),
    "Torch-Pruning, magnitude": theirs(tp.importance.GroupMagnitudeImportance(p=2)),
    "Torch-Pruning, magnitude, same score": theirs(
        tp.importance.GroupMagnitudeImportance(p=2, group_reduction="first", normalizer=None)
    ),
    "ours, Taylor": ours(
        lambda m, batch: pruning.taylor(m, batch, batch_size=ITEMS, units=True), norm=1
    ),
    "Torch-Pruning, Taylor": theirs(tp.importance.GroupTaylorImportance(), needs_gradient=True),
}


def train(model, splits, seed):
    training.fit(model, splits, steps=STEPS, seed=seed, evaluate_every=STEPS, device="cpu")


def prune_in_turn(model, share, batch, turn):
    """Return by arm the smaller network and the median of its seconds, copies not counted."""
    smaller, seconds = {}, {name: [] for name in ARMS}
    for repeat in range(REPEATS):
        names = list(np.roll(list(ARMS), turn + repeat))
        for name in names:
            model_of_its_own = copy.deepcopy(model)
            start = time.perf_counter()
            smaller[name] = ARMS[name](model_of_its_own, share, batch)
            seconds[name].append(time.perf_counter() - start)
    return smaller, {name: statistics.median(times) for name, times in seconds.items()}


def run(network, seed):
    """Return the rows of one seed: all arms at all shares."""
    splits, rows = data.digits(seed, folds=len(SEEDS)), []
    dense = BUILD[network](seed)
    train(dense, splits, seed)
    batch = data.Split(splits.train.x[:ITEMS], splits.train.y[:ITEMS])
    for share in SHARES:
        smaller, seconds = prune_in_turn(dense, share, batch, seed)
        widths = [len(w) for w in pruning.weights(smaller["ours, magnitude"]).values()][:-1]
        smaller["small dense"] = BUILD[network](seed, widths)
        train(smaller["small dense"], splits, seed)
        for name, model in smaller.items():
            before = training.accuracy(model, splits.test)
            train(model, splits, seed + 1000)
            rows.append(
                {
                    "network": network,
                    "share_of_units": share,
                    "arm": name,
                    "seed": seed,
                    "parameters": networks.n_parameters(model),
                    "milliseconds_to_prune": 1000 * seconds.get(name, np.nan),
                    "accuracy_before_fine_tuning": before,
                    "accuracy": training.accuracy(model, splits.test),
                }
            )
    train(dense, splits, seed + 1000)
    return rows + [
        {
            "network": network,
            "share_of_units": 0.0,
            "arm": "dense",
            "seed": seed,
            "parameters": networks.n_parameters(dense),
            "accuracy": training.accuracy(dense, splits.test),
        }
    ]


def interval(values):
    i = evidence.t_interval(list(values))
    return [round(i.estimate, 2), round(i.low, 2), round(i.high, 2)]


def summary(table):
    """Return one entry for each network, share and arm; differences are paired by seed."""
    entries = []
    for (network, share, arm), rows in table.groupby(
        ["network", "share_of_units", "arm"], sort=False
    ):
        rows = rows.set_index("seed")
        entry = {"network": network, "share_of_units": share, "arm": arm}
        entry["parameters"] = sorted({int(n) for n in rows.parameters})
        entry["accuracy"] = interval(rows.accuracy)
        if rows.accuracy_before_fine_tuning.notna().all():
            entry["accuracy_before_fine_tuning"] = interval(rows.accuracy_before_fine_tuning)
        if rows.milliseconds_to_prune.notna().all():
            quartiles = np.quantile(rows.milliseconds_to_prune, [0.5, 0.25, 0.75])
            entry["milliseconds_to_prune"] = [round(float(q), 2) for q in quartiles]
        if arm.startswith("Torch-Pruning"):
            score = arm.split(", ")[1]
            mine = table[
                (table.network == network)
                & (table.share_of_units == share)
                & (table.arm == f"ours, {score}")
            ].set_index("seed")
            entry["ours_minus_this_pp"] = interval(mine.accuracy - rows.accuracy)
            times = evidence.bootstrap_ratio_of_medians(
                mine.milliseconds_to_prune.loc[rows.index], rows.milliseconds_to_prune, seed=0
            )
            entry["time_of_ours_to_this"] = [
                round(x, 2) for x in (times.estimate, times.low, times.high)
            ]
        entries.append(entry)
    return entries


def main():
    torch.set_num_threads(1)
    rows = [row for seed in SEEDS for network in BUILD for row in run(network, seed)]
    result = {
        "command": "python benchmarks/structured.py",
        "seeds": list(SEEDS),
        "steps_before_and_after": STEPS,
        "intervals": "accuracy: mean over seeds, 95% t interval; time: median over seeds and "
        "quartiles; ratio of medians with its 95% bootstrap interval",
        "results": summary(pd.DataFrame(rows)),
        "platform": f"{platform.system()} {platform.machine()}, 1 thread",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_pruning": version("torch-pruning"),
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
