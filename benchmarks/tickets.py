"""Finding lottery tickets: this course beside the plain loop of a learner, and beside open_lth.

    python benchmarks/tickets.py
    git clone https://github.com/facebookresearch/open_lth
    python benchmarks/tickets.py --open-lth open_lth

All do the same work: for each seed, train a 64-300-100-10 network on the digits, prune 20% of what
is left (10% in the output layer), rewind to the first weights, and train again, round after round,
with the same number of steps, batch size and learning rate, on one thread. The plain loop prunes
with `torch.nn.utils.prune`, once with batches taken by index from a tensor and once from a
`DataLoader`; it has the first weights and, by index, the batches that this course's networks have,
so it ends with their networks. They evaluate on the validation set ten times in a training.

open_lth (Frankle's own) runs with its model, masks, global pruning and training loop; evaluation,
checkpoints and logs are left out. It prunes 20% over the hidden layers. It was written for older
libraries, so it gets stand-ins for three things that it only imports or that have a new name:
torchvision, `DistributedDataParallel` and `numpy.product`.

The arms take turns. Time is processor time, which other programs disturb less. What they find is
compared with each other and not judged: the result says how many weights are left, and by how much
the accuracy of a network differs from that of the same network here. It writes
benchmarks/results/tickets.json.
"""

import argparse
import copy
import json
import platform
import sys
import tempfile
import time
import types
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune
from torch.utils.data import DataLoader, TensorDataset

from course_lib import data, evidence, networks, pruning, tickets

SEEDS = range(5)
ROUNDS = 4
BLOCKS = 5  # how often each arm takes its turn
PLAN = tickets.Plan(steps=200, batch_size=60, learning_rate=1.2e-3)
OURS = "ours, stacked"
SAME = ("ours, stacked and stored", "ours, one by one", "plain loop, batches by index")
RESULT = Path(__file__).parent / "results" / "tickets.json"


def splits_of(seed):
    return data.digits(seed, folds=len(SEEDS))


# --- This course: by seed, the weights left and the validation accuracy at the end ----------------


def ours_stacked():
    splits = [splits_of(seed) for seed in SEEDS]
    models = [networks.mlp(seed=seed) for seed in SEEDS]
    options = {"seeds": SEEDS, "rounds": ROUNDS, "device": "cpu"}
    *_, last = tickets.find(models, splits, PLAN, **options)
    return [result(ticket, run) for ticket, run in zip(last.tickets, last.runs, strict=True)]


def result(ticket, run):
    return sum(ticket.counts.values()), 100 * run.history.validation_accuracy.iloc[-1]


def ours_alone():
    results = []
    for seed in SEEDS:
        model, splits = networks.mlp(seed=seed), splits_of(seed)
        options = {"seeds": [seed], "rounds": ROUNDS, "device": "cpu"}
        *_, last = tickets.find([model], [splits], PLAN, **options)
        results.append(result(last.tickets[0], last.runs[0]))
    return results


def ours_stored():
    found = tickets.grid(
        lambda seed: networks.mlp(seed=seed),
        splits_of,
        SEEDS,
        PLAN,
        rounds=ROUNDS,
        arms={0: {}},
        workers=1,
        progress=False,
        device="cpu",
    )
    accuracies = found.table[found.table["round"] == ROUNDS].validation
    left = [sum(found.ticket(seed, ROUNDS).counts.values()) for seed in SEEDS]
    return list(zip(left, accuracies, strict=True))


# --- The plain loop -------------------------------------------------------------------------------


def plain(batches_of):
    return [plain_of(seed, splits_of(seed), batches_of) for seed in SEEDS]


def plain_of(seed, splits, batches_of):
    model = networks.mlp(seed=seed)
    first = copy.deepcopy(model.state_dict())
    layers = [layer for layer in model if isinstance(layer, nn.Linear)]
    for number in range(ROUNDS + 1):
        if number > 0:
            for place, layer in enumerate(model):
                if layer in layers:
                    amount = 0.1 if layer is layers[-1] else 0.2  # of what is left
                    prune.l1_unstructured(layer, "weight", amount=amount)
                    layer.weight_orig.data.copy_(first[f"{place}.weight"])
                    layer.bias.data.copy_(first[f"{place}.bias"])
        optimiser = torch.optim.AdamW(model.parameters(), lr=PLAN.learning_rate, weight_decay=0.0)
        for step, (x, y) in enumerate(batches_of(splits.train, seed)):
            loss = F.cross_entropy(model(x), y)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if (step + 1) % (PLAN.steps // 10) == 0:
                with torch.no_grad():
                    right = model(splits.validation.x).argmax(1) == splits.validation.y
                    accuracy = 100 * right.float().mean().item()
    return sum(int(layer.weight_mask.sum()) for layer in layers), accuracy


def by_index(train, seed):
    generator, n = torch.Generator().manual_seed(seed), len(train.y)
    step = 0
    while step < PLAN.steps:
        order = torch.randperm(n, generator=generator)
        for index in order.split(PLAN.batch_size)[: n // PLAN.batch_size]:
            if step < PLAN.steps:
                yield train.x[index], train.y[index]
            step += 1


def by_loader(train, seed):
    generator = torch.Generator().manual_seed(seed)
    options = {"batch_size": PLAN.batch_size, "shuffle": True, "drop_last": True}
    loader = DataLoader(TensorDataset(*train), generator=generator, **options)
    step = 0
    while step < PLAN.steps:
        for x, y in loader:
            if step < PLAN.steps:
                yield x, y
            step += 1


# --- open_lth -------------------------------------------------------------------------------------


def open_lth(folder):
    """Return the arm that runs open_lth from a copy of its repository."""
    absent = types.SimpleNamespace(MNIST=object, CIFAR10=object, ImageFolder=object)
    blocks = types.SimpleNamespace(BasicBlock=None, Bottleneck=None)
    torchvision = types.ModuleType("torchvision")
    torchvision.datasets = absent
    torchvision.models = types.SimpleNamespace(ResNet=nn.Module, resnet=blocks)
    sys.modules["torchvision"] = torchvision
    vars(np)["product"] = np.prod
    distributed = nn.parallel.DistributedDataParallel
    nn.parallel.DistributedDataParallel = nn.DataParallel
    sys.path.insert(0, str(folder))
    import platforms.platform
    from datasets import base
    from foundations.hparams import TrainingHparams
    from models import initializers, mnist_lenet
    from platforms.local import Platform
    from pruning.mask import Mask
    from pruning.pruned_model import PrunedModel
    from pruning.sparse_global import PruningHparams, Strategy
    from training.train import train

    nn.parallel.DistributedDataParallel = distributed
    del sys.modules["torchvision"]
    platforms.platform._PLATFORM = Platform()

    class Digits(base.Dataset):
        num_classes = staticmethod(lambda: 10)
        num_train_examples = num_test_examples = staticmethod(lambda: 0)
        get_train_set = get_test_set = staticmethod(lambda: None)

    def run():
        results = []
        for seed in SEEDS:
            splits = splits_of(seed)
            loader = base.DataLoader(
                Digits(splits.train.x, splits.train.y), PLAN.batch_size, 0, pin_memory=False
            )
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                first = mnist_lenet.Model([300, 100], initializers.kaiming_normal)
                first.fc_layers[0] = nn.Linear(64, 300)
                initializers.kaiming_normal(first.fc_layers[0])
            mask, model = Mask.ones_like(first), None
            training_hparams = TrainingHparams(
                "adam", PLAN.learning_rate, f"{PLAN.steps}it", data_order_seed=seed
            )
            pruning_hparams = PruningHparams("sparse_global", 0.2, "fc.weight")
            for number in range(ROUNDS + 1):
                if number > 0:
                    mask = Strategy.prune(pruning_hparams, model.model, mask)
                model = PrunedModel(copy.deepcopy(first), mask)
                with tempfile.TemporaryDirectory() as place:
                    train(training_hparams, model, loader, place)
            model.eval()
            with torch.no_grad():
                right = model(splits.validation.x).argmax(1) == splits.validation.y
            left = sum(int(part.sum()) for part in mask.values())
            results.append((left, 100 * right.float().mean().item()))
        return results

    return run


# --- In turn --------------------------------------------------------------------------------------


def measure(arms):
    """Return by arm the seconds of each block and the results, after a turn that warms up."""
    seconds, results = {name: [] for name in arms}, {}
    for block in range(-1, BLOCKS):
        for name in np.roll(list(arms), block):
            start = time.process_time()
            results[name] = arms[name]()
            if block >= 0:
                seconds[name].append(time.process_time() - start)
        print(f"block {block + 1} of {BLOCKS}", file=sys.stderr)
    return seconds, results


def entry(name, seconds, results):
    n_steps = len(SEEDS) * (ROUNDS + 1) * PLAN.steps
    left, accuracies = np.array(results[name]).T
    found = {
        "arm": name,
        "milliseconds_per_network_step": round(1000 * float(np.median(seconds[name])) / n_steps, 3),
        "weights_left": sorted({int(n) for n in left}),
    }
    if name != OURS:
        ratio = evidence.bootstrap_ratio_of_medians(seconds[name], seconds[OURS], seed=0)
        found["time_of_this_to_ours"] = [
            round(x, 2) for x in (ratio.estimate, ratio.low, ratio.high)
        ]
        if name in SAME:  # the same first weights and batches
            gaps = np.abs(accuracies - np.array(results[OURS])[:, 1])
            found["largest_gap_in_accuracy_pp"] = round(float(gaps.max()), 2)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--open-lth", type=Path, help="a copy of the repository of open_lth")
    folder = parser.parse_args().open_lth
    torch.set_num_threads(1)
    arms = {
        "ours, stacked": ours_stacked,
        "ours, stacked and stored": ours_stored,
        "ours, one by one": ours_alone,
        "plain loop, batches by index": lambda: plain(by_index),
        "plain loop, DataLoader": lambda: plain(by_loader),
    }
    if folder is not None:
        arms["open_lth"] = open_lth(folder)
    seconds, results = measure(arms)
    network = networks.mlp(seed=0)
    table = {
        "command": "python benchmarks/tickets.py"
        + (f" --open-lth {folder.as_posix()}" if folder else ""),
        "seeds": list(SEEDS),
        "rounds": ROUNDS,
        "steps": PLAN.steps,
        "batch_size": PLAN.batch_size,
        "weights": sum(weight.numel() for weight in pruning.weights(network).values()),
        "intervals": "processor time: median over blocks; ratio of medians with its 95% bootstrap "
        "interval",
        "results": [entry(name, seconds, results) for name in arms],
        "platform": f"{platform.system()} {platform.machine()}, 1 thread",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(table, indent=2) + "\n")
    print(json.dumps(table, indent=2))


if __name__ == "__main__":
    main()
