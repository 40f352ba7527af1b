"""Sparse autoencoders: this course beside sparsify and dictionary_learning.

    python benchmarks/autoencoders.py
    git clone https://github.com/EleutherAI/sparsify
    git clone https://github.com/saprmarks/dictionary_learning
    python benchmarks/autoencoders.py --sparsify sparsify --dictionary-learning dictionary_learning

It asks three things of TopK, and of BatchTopK where there is one (sparsify has none).

Do they compute the same? With the same weights, reconstructions and gradients of the squared error
are compared.

Do they learn as well? All start from the same weights, which are drawn, with the decoder's bias at
the geometric median, and take the same batches of planted features, with Adam of the same rate. On
fresh data of the same features: FVU, L0, and the share of true features with a latent at a cosine
above 0.9. Of sparsify comes the model, in a loop with the steps of its trainer; of
dictionary_learning the trainer, which clips gradients.

How fast are they? A step needs five matrix products whatever else it does: encoding, decoding, and
the gradients of the latents, the decoder and the encoder. `share_of_five_products` is the time of
these five, done densely and alone, divided by the time of a whole step. 1 is a step without any
overhead; whoever skips zeros may get above it. Time is processor time on one thread, and the arms
take turns.

Both need einops. What they only import gets a stand-in. The result is
benchmarks/results/autoencoders.json.
"""

import argparse
import contextlib
import io
import json
import platform
import re
import sys
import time
import types
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from course_lib import autoencoders, evidence
from course_lib.data import planted

SEEDS = range(5)
D, FEATURES, K, PROBABILITY = 32, 128, 5, 0.04
ROWS, STEPS, BATCH, RATE = 20_000, 1000, 256, 1e-2  # the better rate of 3e-3 and 1e-2 for our TopK
SPEED_D, SPEED_LATENTS, SPEED_K, SPEED_BATCH, SPEED_STEPS = 256, 2048, 32, 512, 6
BLOCKS = 5
KINDS = {"topk": autoencoders.TopK, "batchtopk": autoencoders.BatchTopK}
RESULT = Path(__file__).parent / "results" / "autoencoders.json"

# An arm is two functions. One takes (start, batches, rate): it makes its autoencoder of ours, and
# trains it with one step a batch. The other takes that autoencoder and returns what it
# does with inputs in training, and what after it, (reconstruction, latents), and its two matrices.


def ours(start, batches, rate):
    autoencoders.fit(
        start, iter(batches), steps=len(batches), seed=0, learning_rate=rate, device="cpu"
    )
    return start


def read_ours(model):
    def run(x):
        output = model(x)
        return output.reconstruction, output.latents

    return run, run, (model.W_enc, model.W_dec)


# --- sparsify -------------------------------------------------------------------------------------


def sparsify(folder):
    stand_in("huggingface_hub", snapshot_download=None)
    stand_in("natsort", natsorted=None)
    stand_in("accelerate", utils=types.SimpleNamespace())
    stand_in("accelerate.utils", send_to_device=None)
    stand_in("transformers", PreTrainedModel=object)
    stand_in("simple_parsing", Serializable=object, list_field=lambda *values: None)
    package("sparsify", folder / "sparsify")
    with contextlib.redirect_stdout(io.StringIO()):
        from sparsify.config import SparseCoderConfig
        from sparsify.sparse_coder import SparseCoder

    def train(start, batches, rate):
        config = SparseCoderConfig(num_latents=start.d_sae, k=start.activation.k)
        model = SparseCoder(start.d_in, config)
        with torch.no_grad():
            model.encoder.weight.copy_(start.W_enc.T)
            model.W_dec.copy_(start.W_dec)
            model.b_dec.copy_(start.b_dec)
        optimiser = torch.optim.Adam(model.parameters(), lr=rate)
        for x in batches:  # the order of its trainer
            model.set_decoder_norm_to_unit_norm()
            model(x).fvu.backward()
            model.remove_gradient_parallel_to_decoder_directions()
            optimiser.step()
            optimiser.zero_grad()
        return model

    def read(model):
        def run(x):
            output = model(x)
            latents = torch.zeros(len(x), model.num_latents)
            return output.sae_out, latents.scatter(
                1, output.latent_indices, output.latent_acts.detach()
            )

        return run, run, (model.encoder.weight, model.W_dec)

    return {"topk": (train, read)}


# --- dictionary_learning --------------------------------------------------------------------------


def dictionary_learning(folder):
    package("dictionary_learning", folder / "dictionary_learning")
    package("dictionary_learning.trainers", folder / "dictionary_learning" / "trainers")
    from dictionary_learning.trainers.batch_top_k import BatchTopKTrainer
    from dictionary_learning.trainers.top_k import TopKTrainer

    def arm(trainer_class, batch_wise):
        def train(start, batches, rate):
            with torch.random.fork_rng():
                trainer = trainer_class(
                    steps=max(2, len(batches)),
                    activation_dim=start.d_in,
                    dict_size=start.d_sae,
                    k=start.activation.k,
                    layer=0,
                    lm_name="none",
                    lr=rate,
                    warmup_steps=0,
                    threshold_start_step=min(1000, len(batches) // 2),
                    device="cpu",
                )
            with torch.no_grad():
                trainer.ae.encoder.weight.copy_(start.W_enc.T)
                trainer.ae.decoder.weight.copy_(start.W_dec.T)
                trainer.ae.b_dec.copy_(start.b_dec)
            for step, x in enumerate(batches, start=1):  # at step 0 it would draw b_dec anew
                trainer.update(step, x)
            return trainer.ae

        def read(model):
            def run(x, **options):
                latents = model.encode(x, **options)
                return model.decode(latents), latents

            def in_training(x):
                return run(x, use_threshold=False)

            after = run if batch_wise else in_training
            return in_training, after, (model.encoder.weight, model.decoder.weight)

        return train, read

    return {"topk": arm(TopKTrainer, False), "batchtopk": arm(BatchTopKTrainer, True)}


def package(name, folder):
    """Make a package whose modules can be imported without what its __init__ imports."""
    if not folder.is_dir():
        raise SystemExit(f"{folder} is not a folder: give the folder of the repository")
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [str(folder)]


def version(folder):
    found = re.search(r'__version__ = "(.+)"', (folder / "__init__.py").read_text())
    return found.group(1) if found else "unknown"


def stand_in(name, **content):
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(content)


# --- What is measured -----------------------------------------------------------------------------


def fresh(kind, d, d_sae, k, seed, x=None):
    model = autoencoders.SparseAutoencoder(d, d_sae, KINDS[kind](k), seed=seed)
    if x is not None:
        model.set_decoder_bias(x)
    return model.train()


def agreement(kind, train, read):
    """The largest gaps to ours, relative to the largest value, in x̂ and in gradients."""
    x = data(0, rows=64).x
    found = []
    for build, reader in ((ours_untrained, read_ours), (train, read)):
        model = build(fresh(kind, D, FEATURES, K, 0, x), [], RATE)
        run, _, weights = reader(model)
        x_hat, _ = run(x)
        (x - x_hat).square().sum(1).mean().backward()
        found.append((x_hat.detach(), *turned(*(w.grad for w in weights))))
    gaps = [float((a - b).abs().max() / a.abs().max()) for a, b in zip(*found, strict=True)]
    return {"reconstruction": float(f"{gaps[0]:.1e}"), "gradients": float(f"{max(gaps[1:]):.1e}")}


def turned(encoder, decoder):
    """Both matrices in the orientation of ours, (d_in, d_sae) and (d_sae, d_in)."""
    return (encoder.T if encoder.shape[0] == FEATURES else encoder), (
        decoder.T if decoder.shape[0] == D else decoder
    )


def ours_untrained(start, batches, rate):
    return start


def data(seed, rows=ROWS, more=0, dictionary=None):
    return planted.planted_features(
        rows,
        d=D,
        n_features=FEATURES,
        seed=seed + more,
        probability=PROBABILITY,
        dictionary=dictionary,
    )


def quality(kind, train, read):
    found = []
    for seed in SEEDS:
        known = data(seed)
        unseen = data(seed, rows=4000, more=1000, dictionary=known.dictionary)
        order = torch.Generator().manual_seed(seed)
        index = torch.randint(ROWS, (STEPS, BATCH), generator=order)
        start = fresh(kind, D, FEATURES, K, seed, known.x)
        model = train(start, [known.x[i] for i in index], RATE)
        _, run, weights = read(model)
        with torch.no_grad():
            x_hat, latents = run(unseen.x)
        found.append(
            [
                autoencoders.fvu(unseen.x, x_hat),
                autoencoders.l0(latents),
                autoencoders.recovered(turned(*weights)[1], unseen.dictionary, cosine=0.9),
            ]
        )
    return {
        name: interval(values)
        for name, values in zip(("fvu", "l0", "recovered"), np.array(found).T, strict=True)
    }


def interval(values):
    found = evidence.t_interval(values)
    return [round(float(x), 4) for x in (found.estimate, found.low, found.high)]


def five_products(x, start):
    """The products of a step, of dense matrices of the same shapes."""
    latents = torch.ones(len(x), start.d_sae)
    with torch.no_grad():
        for _ in range(SPEED_STEPS):
            _ = x @ start.W_enc  # encode
            _ = latents @ start.W_dec  # decode
            _ = x @ start.W_dec.T  # the gradient of the latents
            _ = latents.T @ x  # that of the decoder
            _ = x.T @ latents  # that of the encoder


def shares(arms):
    """By arm: the share of five products in a step, with its interval, and milliseconds a step."""
    x = torch.randn(SPEED_BATCH, SPEED_D, generator=torch.Generator().manual_seed(0))
    batches = [x] * SPEED_STEPS
    seconds = {name: [] for name in ("products", *arms)}
    for block in range(-1, BLOCKS):
        for name in np.roll(list(seconds), block):
            kind = "topk" if name == "products" else name.partition(" ")[0]
            start = fresh(kind, SPEED_D, SPEED_LATENTS, SPEED_K, 0)
            begin = time.process_time()
            if name == "products":
                five_products(x, start)
            else:
                # A threshold that is computed once, after training, is no part of a step.
                with mock.patch.object(autoencoders.fitting, "calibrate"):
                    arms[name][0](start, batches, 1e-3)
            if block >= 0:
                seconds[name].append(time.process_time() - begin)
    found = {}
    for name in arms:
        ratio = evidence.bootstrap_ratio_of_medians(seconds["products"], seconds[name], seed=0)
        found[name] = {
            "share_of_five_products": [
                round(x, 3) for x in (ratio.estimate, ratio.low, ratio.high)
            ],
            "milliseconds_per_step": round(1000 * float(np.median(seconds[name])) / SPEED_STEPS, 2),
        }
    return found


def split(found):
    """Estimates as plain numbers, and their intervals beside them."""
    triples = {name: value for name, value in found.items() if isinstance(value, list)}
    numbers = {name: value[0] for name, value in triples.items()}
    return found | numbers | {"intervals": {name: v[1:] for name, v in triples.items()}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sparsify", type=Path, help="a copy of its repository")
    parser.add_argument("--dictionary-learning", type=Path, help="a copy of its repository")
    options = parser.parse_args()
    torch.set_num_threads(1)
    versions = {"torch": torch.__version__}
    by_name = {"ours": dict.fromkeys(KINDS, (ours, read_ours))}
    command = "python benchmarks/autoencoders.py"
    for name, load in (("sparsify", sparsify), ("dictionary_learning", dictionary_learning)):
        if folder := getattr(options, name):
            by_name[name] = load(folder)
            versions[name] = version(folder / name)
            command += f" --{name.replace('_', '-')} {name}"
    arms = {f"{kind} {name}": made[kind] for kind in KINDS for name, made in by_name.items()
            if kind in made}  # fmt: skip
    table = {
        "command": command,
        "share_of_five_products": "time of a step's five dense matrix products, alone, divided by "
        "the time of the step; ratio of medians over blocks with its 95% bootstrap interval",
        "fvu, l0, recovered": "on fresh data after training from equal starts on equal batches: "
        "mean over seeds with its 95% t interval; recovered is the share of true features with a "
        "latent at a cosine above 0.9",
        "largest_gap_to_ours": "with equal weights, relative to the largest value",
        "seeds": list(SEEDS),
        "learning": {"d_in": D, "features": FEATURES, "d_sae": FEATURES, "k": K, "steps": STEPS,
                     "probability": PROBABILITY, "batch_size": BATCH, "learning_rate": RATE},
        "speed": {"d_in": SPEED_D, "d_sae": SPEED_LATENTS, "k": SPEED_K,
                  "batch_size": SPEED_BATCH, "blocks": BLOCKS, "steps_of_a_block": SPEED_STEPS},
    }  # fmt: skip
    speed = shares(arms)
    for name, (train, read) in arms.items():
        kind, _, who = name.partition(" ")
        found = split(speed[name] | quality(kind, train, read))
        if who != "ours":
            found["largest_gap_to_ours"] = agreement(kind, train, read)
        table.setdefault(kind, {})[who] = found
        print(name, found, file=sys.stderr)
    table |= {
        "platform": f"{platform.system()} {platform.machine()}, 1 thread",
        "python": platform.python_version(),
        "versions": versions,
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
    main()
