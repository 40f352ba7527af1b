"""What `probes.record` costs beside the plain forward pass, and what it keeps.

    python benchmarks/recording.py

Networks of several widths run on the same batch, plainly and while all of their hidden layers are
recorded, in turn, with one thread. Times are the processor's. Recording gathers moments of every
unit, Hoyer's sparseness of every vector and a sample; "moments only" is without a metric. What is
kept is counted after 5 batches and after 50.

It writes benchmarks/results/recording.json.
"""

import json
import platform
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import nn

from course_lib import networks, probes
from course_lib.probes.recording import Moments

BLOCKS = 15  # of a plain pass and two recorded ones
RESULT = Path(__file__).parent / "results" / "recording.json"


class Residual(nn.Module):
    """A block as in transformers: what is recorded is d wide, what it computes 4 d."""

    def __init__(self, d):
        super().__init__()
        self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x):
        return x + self.down(torch.relu(self.up(x)))


def mlp(widths):
    layers = [str(2 * i + 1) for i in range(len(widths) - 2)]
    return networks.mlp(widths, seed=0), layers, (256, widths[0])


def blocks(d):
    return nn.Sequential(*(Residual(d) for _ in range(3))), ["0", "1", "2"], (256, d)


def attention(d):
    layer = nn.TransformerEncoderLayer(d, 8, 4 * d, dropout=0.0, batch_first=True)
    stack = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False).eval()
    return stack, [f"layers.{i}" for i in range(3)], (4, 64, d)


NETWORKS = {
    "MLP of the course, 64-300-100-10": lambda: mlp((64, 300, 100, 10)),
    "MLP, two layers of 1,000": lambda: mlp((256, 1000, 1000, 10)),
    "MLP, three layers of 2,000": lambda: mlp((2000, 2000, 2000, 2000, 10)),
    "3 residual blocks of 512": lambda: blocks(512),
    "3 residual blocks of 1,024": lambda: blocks(1024),
    "3 transformer blocks of 512": lambda: attention(512),
}


def seconds(model, x, layers=(), **options):
    # Hooks are set and taken away outside of what is timed, as in a run of many batches.
    with probes.record(model, layers, **options) if layers else nullcontext():
        model(x)
        start = time.process_time()
        model(x)
        return time.process_time() - start


def kept(recording):
    """Bytes of all tensors that a recording holds."""

    def tensors(value):
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, Moments | probes.Statistics):
            yield from tensors(vars(value))
        elif isinstance(value, dict | list):
            for one in value.values() if isinstance(value, dict) else value:
                yield from tensors(one)

    return sum(t.untyped_storage().nbytes() for name in recording for t in tensors(recording[name]))


def after(model, x, layers, batches):
    with probes.record(model, layers) as recording:
        for _ in range(batches):
            model(x)
    return kept(recording)


def middle(values):
    return [round(float(np.quantile(values, q)), 3) for q in (0.5, 0.25, 0.75)]


@torch.no_grad()
def measure(build):
    torch.manual_seed(0)  # torch's own blocks draw from its generator
    model, layers, shape = build()
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    whole, moments = [], []
    for _ in range(BLOCKS):
        plain = seconds(model, x)
        whole.append(seconds(model, x, layers) / plain)
        moments.append(seconds(model, x, layers, metrics={}) / plain)
    return {
        "time_beside_plain": middle(whole),
        "moments_only": middle(moments),
        "kB_kept_after_5_batches": round(after(model, x, layers, 5) / 1000),
        "after_50": round(after(model, x, layers, 50) / 1000),
    }


def main():
    torch.set_num_threads(1)
    rows = []
    for name, build in NETWORKS.items():
        rows.append({"network": name} | measure(build))
        print(rows[-1], flush=True)
    result = {
        "results": rows,
        "intervals": "of the ratios in turn, the median and the quarter points",
        "blocks": BLOCKS,
        "platform": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
