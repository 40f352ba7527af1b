"""Bytes against the arrays and files of other libraries, multiply–adds, and how times are taken."""

import itertools
import time

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import safetensors.torch
import scipy.sparse
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from course_lib import costs, networks, pruning

DTYPES = {np.float32: torch.float32, np.float16: torch.float16}


def random_weight(shape, density, seed=0):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(shape, generator=generator)
    return weight * (torch.rand(shape, generator=generator) < density)


def with_non_zeros(shape, nnz, seed=0):
    """Return a weight with exactly so many non-zeros."""
    weight = torch.zeros(int(np.prod(shape)))
    places = torch.randperm(len(weight), generator=torch.Generator().manual_seed(seed))[:nnz]
    weight[places] = torch.arange(1.0, nnz + 1)
    return weight.view(shape)


shapes = st.one_of(
    st.tuples(st.integers(1, 9), st.integers(1, 17)),
    st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 3), st.integers(1, 3)),
)
weights = st.builds(random_weight, shapes, st.sampled_from([0, 0.1, 0.5, 1]), st.integers(0, 99))


# --- Bytes ----------------------------------------------------------------------------------------


@given(weight=weights, format=st.sampled_from(costs.FORMATS), dtype=st.sampled_from(list(DTYPES)))
def test_what_is_encoded_is_decoded(weight, format, dtype):
    parts = costs.encode(weight, format, dtype)
    again = costs.decode(parts, format, weight.shape)
    assert again.dtype == DTYPES[dtype]
    assert torch.equal(again, weight.to(DTYPES[dtype]))
    assert costs.n_bytes(weight, format, dtype) == sum(part.nbytes for part in parts.values())


@given(
    n_out=st.integers(1, 4), groups=st.integers(1, 4), m=st.integers(1, 9), n=st.integers(1, 9),
    kernel=st.sampled_from([(), (2, 3)]), seed=st.integers(0, 99),
    dtype=st.sampled_from(list(DTYPES)),
)  # fmt: skip
def test_what_is_encoded_as_n_m_is_decoded(n_out, groups, m, n, kernel, seed, dtype):
    n = min(n, m)
    weight = random_weight((n_out, groups * m, *kernel), 0.7, seed)
    weight = weight * pruning.n_m_mask({"w": weight.abs()}, n, m)["w"]
    parts = costs.encode(weight, f"{n}:{m}", dtype)
    again = costs.decode(parts, f"{n}:{m}", weight.shape)
    assert torch.equal(again, weight.to(DTYPES[dtype]))
    # The values can be read off an index by hand, too: the first group of the first row.
    kept = len(parts["values"].reshape(-1))
    assert kept == n * n_out * groups * int(np.prod(kernel))
    bits = next(b for b in range(9) if 2**b >= m)
    assert parts["places"].nbytes == -(-kept * bits // 8)


@pytest.mark.filterwarnings("ignore:Sparse CSR")
@given(weight=weights)
def test_csr_and_coo_take_the_bytes_of_scipy_s_and_of_torch_s(weight):
    matrix = weight.movedim(1, -1).flatten(1).numpy()
    csr, coo = scipy.sparse.csr_array(matrix), scipy.sparse.coo_array(matrix)
    csr_bytes = csr.data.nbytes + csr.indices.nbytes + csr.indptr.nbytes
    coo_bytes = coo.data.nbytes + sum(index.nbytes for index in coo.coords)
    assert costs.n_bytes(weight, "csr") == csr_bytes
    assert costs.n_bytes(weight, "coo") == coo_bytes
    ours = costs.encode(weight, "csr")
    assert np.array_equal(ours["columns"], csr.indices)
    assert np.array_equal(ours["starts"], csr.indptr)
    theirs = torch.from_numpy(matrix).to_sparse_csr()
    indices = (theirs.crow_indices(), theirs.col_indices())
    as_int32 = sum(index.int().nbytes for index in indices)
    assert costs.n_bytes(weight, "csr") == theirs.values().nbytes + as_int32
    assert sum(index.nbytes for index in indices) == 2 * as_int32, "PyTorch's own: 64 bits"


def test_two_of_four_by_hand():
    weight = torch.tensor([[0.0, 5.0, 0.0, 6.0, 7.0, 0.0, 0.0, 0.0]])
    parts = costs.encode(weight, "2:4")
    assert parts["values"].tolist() == [[5.0, 6.0], [7.0, 0.0]]
    # Places 1 and 3, 0 and 1, lowest bit first: 10 11 00 10.
    assert np.unpackbits(parts["places"]).tolist() == [1, 0, 1, 1, 0, 0, 1, 0]
    big = pruning.n_m_mask({"w": torch.rand(256, 512)})["w"].float()
    dense = costs.n_bytes(big, "dense", np.float16)
    # Half of the values at 16 bits, and 2 bits for each: 9/16 of dense.
    assert costs.n_bytes(big, "2:4", np.float16) / dense == 9 / 16


def test_a_wrong_count_without_indices_would_be_caught():
    """The mistake of many lessons: only values count."""
    weight = random_weight((300, 64), 0.5)
    values_only = 4 * int(weight.count_nonzero())
    assert values_only < costs.n_bytes(weight, "dense") / 1.9
    assert costs.n_bytes(weight, "csr") > costs.n_bytes(weight, "dense"), "indices eat it up"


@given(
    shape=shapes, format=st.sampled_from(["csr", "coo", "bitmask"]),
    dtype=st.sampled_from(list(DTYPES)),
)  # fmt: skip
def test_the_density_of_break_even_is_where_real_arrays_cross(shape, format, dtype):
    size = int(np.prod(shape))
    dense = costs.n_bytes(torch.ones(shape), "dense", dtype)
    smaller = [
        nnz
        for nnz in range(size + 1)
        if costs.n_bytes(with_non_zeros(shape, nnz), format, dtype) < dense
    ]
    expected = max(smaller, default=0)
    assert costs.break_even_in_bytes(format, shape, dtype) * size == pytest.approx(expected)


def test_the_density_of_break_even_of_the_layers_on_trial():
    for shape in ((300, 64), (100, 300)):
        for format in ("csr", "coo"):
            density = costs.break_even_in_bytes(format, shape)
            nnz = round(density * shape[0] * shape[1])
            found = []
            for some in (nnz, nnz + 1):
                sparse = scipy.sparse.csr_array(with_non_zeros(shape, some).numpy())
                sparse = sparse if format == "csr" else sparse.tocoo()
                indices = (sparse.indices, sparse.indptr) if format == "csr" else sparse.coords
                found.append(sparse.data.nbytes + sum(index.nbytes for index in indices))
            assert found[0] < 4 * shape[0] * shape[1] <= found[1]


# --- A network ------------------------------------------------------------------------------------


def a_network(kind):
    model = {
        "mlp": lambda: networks.mlp((64, 30, 12, 10), seed=0),
        "conv": lambda: networks.convnet((4, 8), seed=0),
        "batch norm": lambda: networks.initialise(
            nn.Sequential(nn.Linear(64, 20), nn.BatchNorm1d(20), nn.ReLU(), nn.Linear(20, 10)),
            seed=0,
        ),
    }[kind]()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.uniform_(generator=torch.manual_seed(1))
        elif getattr(module, "bias", None) is not None:
            module.bias.data.uniform_(generator=torch.manual_seed(2))
    return model.eval()


def header(path):
    """The bytes of a safetensors file that are no tensor: a length of 8 and its text."""
    with open(path, "rb") as file:
        return 8 + int.from_bytes(file.read(8), "little")


@pytest.mark.parametrize("kind", ["mlp", "conv", "batch norm"])
@pytest.mark.parametrize("format", [*costs.FORMATS, "best"])
@pytest.mark.parametrize("dtype", list(DTYPES))
def test_the_sizes_are_those_of_files(kind, format, dtype, tmp_path):
    model = a_network(kind)
    pruning.prune(model, 0.8)
    table = costs.sizes(model, dtype=dtype)
    costs.save(model, tmp_path / "m", format=format, dtype=dtype)
    size = (tmp_path / "m").stat().st_size - header(tmp_path / "m")
    expected = table.min(axis=1).sum() if format == "best" else table[format].sum()
    assert size == expected
    fresh = costs.load(a_network(kind), tmp_path / "m").eval()
    x = torch.rand(3, 64)
    assert torch.allclose(fresh(x), model(x), atol=1e-6 if dtype == np.float32 else 0.02)
    if dtype == np.float32:
        assert torch.equal(pruning.weights(fresh).popitem()[1], pruning.weights(model).popitem()[1])
    if format == "dense" and dtype == np.float32:  # as PyTorch's own state is stored
        plain = pruning.remove(model).state_dict()
        safetensors.torch.save_file({n: t.contiguous() for n, t in plain.items()}, tmp_path / "t")
        assert size == (tmp_path / "t").stat().st_size - header(tmp_path / "t")


def test_a_mask_makes_no_file_smaller(tmp_path):
    model = a_network("mlp")
    for name, share in (("dense", 0.0), ("masked", 0.9)):
        pruning.prune(model, share)
        state = pruning.remove(model).state_dict()
        safetensors.torch.save_file(state, tmp_path / name)
    assert (tmp_path / "dense").stat().st_size == (tmp_path / "masked").stat().st_size


def test_sizes_of_structured_pruning_and_of_n_m():
    model = a_network("mlp")
    pruning.prune(model, 0.5, rule=pruning.units(pruning.layerwise_mask))
    assert costs.sizes(model).dense.sum() == 4 * networks.n_parameters(
        networks.mlp((64, 30, 12, 10), seed=0)
    )
    smaller = networks.mlp((64, 15, 6, 10), seed=0)
    assert costs.sizes(pruning.shrink(model)).dense.sum() == 4 * networks.n_parameters(smaller)
    model = a_network("mlp")
    name = "0.weight"
    pruning.apply(model, pruning.n_m_mask({name: pruning.magnitude(model)[name]}))
    table = costs.sizes(model, ["dense", "2:4"])
    assert table.loc[name, "2:4"] == costs.n_bytes(pruning.weights(model)[name], "2:4")
    assert np.isnan(table.loc["2.weight", "2:4"])
    assert np.isnan(table.loc["4.weight", "2:4"])
    assert (table.loc["0.bias"] == 4 * 30).all()
    assert list(table.index) == [
        "0.weight", "2.weight", "4.weight", "0.bias", "2.bias", "4.bias",
    ]  # fmt: skip


def test_files_of_others_are_refused(tmp_path):
    model = a_network("mlp")
    costs.save(model, tmp_path / "m")
    (tmp_path / "text").write_text("not a network")
    with pytest.raises(ValueError, match=r"is not a file of costs\.save"):
        costs.load(model, tmp_path / "text")
    for other in (
        networks.mlp((64, 31, 12, 10), seed=0),
        a_network("conv"),
        a_network("batch norm"),
    ):
        with pytest.raises(ValueError, match="another network"):
            costs.load(other, tmp_path / "m")
    safetensors.numpy.save_file({"0.weight/csr/values": np.ones(3)}, tmp_path / "part")
    with pytest.raises(ValueError, match="another network"):
        costs.load(model, tmp_path / "part")
    with pytest.raises(FileNotFoundError):
        costs.load(model, tmp_path / "nothing")


# --- Multiply–adds --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "x"),
    [
        (networks.mlp((64, 30, 12, 10), seed=0), torch.rand(3, 64)),
        (networks.convnet((4, 8), seed=0), torch.rand(5, 64)),
        (nn.Sequential(nn.Conv1d(2, 4, 3, stride=2), nn.Linear(3, 5)), torch.rand(2, 2, 8)),
        (nn.Linear(4, 3), torch.rand(2, 4)),
    ],
)  # fmt: skip
def test_multiply_adds_are_half_of_the_flops_that_pytorch_counts(model, x):
    counter = FlopCounterMode(display=False)
    with counter:
        model(x)
    table = costs.multiply_adds(model, x)
    assert list(table.index) == list(pruning.weights(model))
    assert 2 * len(x) * table.dense.sum() == counter.get_total_flops()
    assert (table.nonzero == table.dense).all()


def test_multiply_adds_by_zeros_are_left_out():
    model, x = networks.convnet((4, 8), seed=0).train(), torch.rand(2, 64)
    masks = pruning.prune(model, 0.7)
    table = costs.multiply_adds(model, x)
    assert table.nonzero["1.weight"] == 8 * 8 * int(masks["1.weight"].sum())
    assert table.nonzero["4.weight"] == 4 * 4 * int(masks["4.weight"].sum())
    assert table.nonzero["8.weight"] == int(masks["8.weight"].sum())
    assert table.dense["8.weight"] == 8 * 2 * 2 * 10
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())


# --- Time -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("density", [0.0, 0.1, 1.0])
def test_kernels_compute_the_product_with_the_pruned_weight(batch, density):
    weight = random_weight((20, 12), 1.0)
    mask = random_weight((20, 12), density, seed=3) != 0
    x = random_weight((batch, 12), 1.0, seed=4)
    expected = x.double() @ (weight * mask).double().t()
    for name in ("dense with zeros", "torch CSR", "SciPy CSR"):
        out = torch.as_tensor(costs.kernel(name, weight, mask, x)())
        out = out if name.startswith("dense") else out.reshape(20, batch).t()
        assert torch.allclose(out.double(), expected, atol=1e-5), name
    assert torch.allclose(costs.kernel("dense", weight, mask, x)(), x @ weight.t(), atol=1e-5)
    n_rows = max(1, round(20 * float(mask.float().mean())))
    assert costs.kernel("structured", weight, mask, x)().shape == (batch, n_rows)


def sleeping(seconds, log=None, name=None):
    def call():
        if log is not None:
            log.append(name)
        time.sleep(seconds)

    return call


@pytest.mark.alone
def test_latency_interleaves_and_finds_what_each_takes():
    log = []
    calls = {name: sleeping(s, log, name) for name, s in (("a", 0.004), ("b", 0.001))}
    calls["c"] = lambda: None
    times = costs.latency(calls, blocks=12, seconds=0.004, seed=1)
    assert list(times.columns) == ["block", "name", "seconds", "threads"]
    assert times.groupby("block").name.apply(list).tolist() == [["a", "b", "c"]] * 12
    assert set(times.threads) == {torch.get_num_threads()}
    median = times.groupby("name").seconds.median()
    assert 0.004 <= median["a"] < 0.012
    assert 0.001 <= median["b"] < 0.003
    assert median["c"] < 1e-4
    # Not all of one and then all of the other, and not always in the same order.
    turns = [name for name, before in zip(log, [None, *log], strict=False) if name != before]
    assert len(turns) > 12
    # A ratio with its interval, paired by block.
    r = costs.ratio(times, "b", "a")
    assert r.low <= r.estimate <= r.high
    assert r.estimate == median["b"] / median["a"]
    assert r.high < 1
    table = costs.summary(times, "a")
    assert list(table.index) == ["a", "b", "c"]
    assert table.loc["a", ["ratio", "low", "high"]].tolist() == [1, 1, 1]
    assert (table.q25 <= table["median"]).all()
    assert (table["median"] <= table.q75).all()


def test_the_order_of_a_block_is_drawn_from_the_seed():
    def orders(seed):
        log = []
        calls = {name: (lambda name=name: (log.append(name), time.sleep(0.001))) for name in "abc"}
        costs.latency(calls, blocks=8, seconds=0.001, seed=seed)
        return [n for n, before in zip(log, [None, *log], strict=False) if n != before]

    assert len({tuple(orders(seed)) for seed in (1, 2, 3)}) > 1


def test_gradients_are_off_and_no_generator_moves(global_generators):
    weight = torch.rand(5, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    seen = []
    costs.latency({"a": lambda: seen.append((weight @ weight.t()).requires_grad)}, blocks=2)
    assert not any(seen)
    costs.latency_by_density((6, 5), batch=2, densities=[0.5], blocks=2, seconds=1e-4)


@pytest.mark.alone
@pytest.mark.parametrize("late", [1, 2, 4, 16])
def test_one_interruption_does_not_make_a_short_call_look_long(late):
    """It would be called once a block then, without warming up."""
    calls = itertools.count()

    def short():
        if next(calls) == late:
            time.sleep(0.05)

    costs.latency({"short": short}, blocks=2, seconds=0.01)
    assert next(calls) > 1000


def test_latency_by_density_times_dense_once_a_block():
    times = costs.latency_by_density(
        (30, 20), batch=4, densities=[0.1, 0.5], names=["torch CSR"], blocks=3, seconds=1e-4
    )
    assert times.groupby("block").size().tolist() == [3, 3, 3]
    assert set(zip(times.name, times.density, strict=True)) == {
        ("dense", 1.0), ("torch CSR", 0.1), ("torch CSR", 0.5),
    }  # fmt: skip
    assert list(costs.break_even_in_time(times).index) == ["torch CSR"]


def made_up_times(exponents, densities, factor=2.0):
    """Times of a kernel that takes `factor · densityᵖ` of the dense one, a block for each p."""
    rows = [(b, "dense", 1.0, 3.0) for b in range(len(exponents))]
    rows += [(b, "k", d, 3.0 * factor * d**p) for b, p in enumerate(exponents) for d in densities]
    return pd.DataFrame(rows, columns=["block", "name", "density", "seconds"])


def test_break_even_in_time_is_the_crossing():
    densities = [0.8, 0.05, 0.2, 0.4]  # in any order
    for p in (0.5, 1.0, 2.0):
        table = costs.break_even_in_time(made_up_times([p] * 3, densities))
        # 2 dᵖ = 1; lines between logarithms are exact for a power law.
        assert table.loc["k"].tolist() == pytest.approx([0.5 ** (1 / p)] * 3)
    spread = costs.break_even_in_time(made_up_times([0.5, 1.0, 2.0], densities)).loc["k"]
    crossings = [0.25, 0.5, 0.5**0.5]
    assert spread["median"] == pytest.approx(0.5)
    assert [spread.q25, spread.q75] == pytest.approx(np.quantile(crossings, [0.25, 0.75]).tolist())


def test_break_even_in_time_is_censored_at_the_ends():
    densities = [0.1, 0.2, 0.4]
    never = costs.break_even_in_time(made_up_times([1.0] * 2, densities, factor=20))
    always = costs.break_even_in_time(made_up_times([1.0] * 2, densities, factor=0.1))
    assert never.loc["k"].tolist() == [0, 0, 0]
    assert always.loc["k"].tolist() == [0.4, 0.4, 0.4]


# --- Bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda w: costs.encode(w, "zip"), "format is one of ['dense', 'bitmask', 'csr', 'coo']"),
        (lambda w: costs.encode(w, "4:2"), "got '4:2'"),
        (lambda w: costs.encode(w, "0:2"), "got '0:2'"),
        (lambda w: costs.encode(w, "2:4"), "a multiple of 4, and at most 2 non-zeros"),
        (lambda w: costs.encode(w, "1:2"), "shape (3, 6) has not"),
        (lambda w: costs.encode(w, "csr", np.float64), "dtype is np.float32 or np.float16"),
        (lambda w: costs.decode({"values": np.ones(2)}, "zip", (3, 6)), "got 'zip'"),
        (lambda w: costs.break_even_in_bytes("2:4", (3, 4)), "depend on the density"),
        (lambda w: costs.sizes(networks.mlp((4, 3), seed=0), ["zip"]), "got 'zip'"),
        (lambda w: costs.sizes(nn.Sequential(nn.ReLU())), "nothing to prune"),
        (lambda w: costs.multiply_adds(nn.Sequential(nn.ReLU()), w), "nothing to prune"),
        (
            lambda w: costs.multiply_adds(networks.stack([networks.mlp((6, 3), seed=0)]), w[None]),
            "networks.unstack",
        ),
        (lambda w: costs.latency({}), "at least one candidate"),
        (lambda w: costs.latency({"a": int}, blocks=1), "blocks=1"),
        (lambda w: costs.latency({"a": int}, seconds=0), "seconds=0"),
        (lambda w: costs.latency_by_density((3, 4), batch=1, densities=[]), "at least one"),
        (lambda w: costs.latency_by_density((3, 4), batch=1, densities=[0.5, 2]), "(0, 1]"),
        (lambda w: costs.break_even_in_time(made_up_times([1], [0.1])[1:]), "dense included"),
        (lambda w: costs.break_even_in_time(pd.DataFrame({"name": ["dense"]})), "latency_by_den"),
        (lambda w: costs.ratio(made_up_times([1, 1], [0.1]), "a"), "got {'a'}"),
        (lambda w: costs.kernel("fast", w, w != 0, w), "got 'fast'"),
        (lambda w: costs.kernel("dense", w, w != 0, w[:, :5]), "(3, 6), (3, 6) and (3, 5)"),
        (lambda w: costs.kernel("dense", w, w[:2] != 0, w), "(3, 6), (2, 6) and (3, 6)"),
    ],
)  # fmt: skip
def test_bad_input(call, message):
    with pytest.raises(ValueError) as error:
        call(random_weight((3, 6), 1.0))
    assert message in str(error.value)
