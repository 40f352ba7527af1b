"""How much faster is a sweep with two workers than with one?

    python benchmarks/replicate.py

It trains the same networks with one worker and with two, in turn, several times, and writes the
medians and their ratio to benchmarks/results/replicate.json. The start of the workers is counted.
Close other programs first: they take the second core.
"""

import json
import os
import platform
import statistics
import time
from pathlib import Path

import torch
from joblib.externals import loky

from course_lib import data, networks, training

SEEDS = range(10)
REPEATS = 12  # a sweep of about a minute with one worker
STEPS = 800
ROUNDS = 3
RESULT = Path(__file__).parent / "results" / "replicate.json"


def experiment(seed, repeat):
    model = networks.mlp(seed=seed)
    splits = data.digits(seed, folds=len(SEEDS))
    training.fit(model, splits, steps=STEPS, seed=repeat, device="cpu")
    return {"accuracy": training.accuracy(model, splits.validation)}


def measure(workers):
    """Return the seconds of one sweep, its workers' start included, and its table."""
    loky.get_reusable_executor(reuse=True).shutdown(wait=True)
    start = time.perf_counter()
    table = training.replicate(experiment, SEEDS, workers=workers, repeat=range(REPEATS))
    return time.perf_counter() - start, table


def main():
    seconds = {1: [], 2: []}
    for _ in range(ROUNDS):
        tables = {}
        for workers, times in seconds.items():
            took, tables[workers] = measure(workers)
            times.append(took)
        assert tables[1].equals(tables[2]), "the tables of one and two workers differ"
    medians = {workers: statistics.median(times) for workers, times in seconds.items()}
    result = {
        "runs": len(SEEDS) * REPEATS,
        "steps_per_run": STEPS,
        "seconds_with_1_worker": [round(s, 1) for s in seconds[1]],
        "seconds_with_2_workers": [round(s, 1) for s in seconds[2]],
        "ratio_of_medians": round(medians[1] / medians[2], 2),
        "cores": os.cpu_count(),
        "platform": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
