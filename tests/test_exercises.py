"""The exercises: every check fails the wrong answers, by their names, and passes the right ones."""

import ast
import copy
import importlib.util
import json
import textwrap
import uuid
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
import scipy.sparse
import test_notebooks
import torch
from bs4 import BeautifulSoup
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import exercise_cells
import exercise_table
import mutants
import notebooks
from course_lib import (
    autoencoders,
    costs,
    data,
    evidence,
    exercises,
    networks,
    probes,
    pruning,
    superposition,
    tickets,
    training,
)
from course_lib.exercises import Case, Exercise, Wrong, comparing, exercise
from course_lib.exercises import autoencoders as chapter_06
from setup_cell import SETUP_CELL

ALL = [one for topic in exercise.TOPICS for one in exercise._of(topic)]
by_id = pytest.mark.parametrize("one", ALL, ids=lambda one: one.id)

# --- The table ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def table():
    return exercise_table.table()


@pytest.mark.slow
def test_wrong_answers_fail_by_name_right_ones_pass_and_mutants_die(table):
    rows, faults = table
    assert not faults, "\n".join(faults)
    for row in rows:
        assert row["wrong_killed"] == row["wrong_total"] >= 5
        assert row["right_passed"] == row["right_total"] >= 2
        assert row["mutants_killed"] >= 0.95 * (row["mutants_total"] - row["equivalent"])
        assert row["mutants_total"] >= 10
        assert len(set(row["mistakes"])) >= 5


@pytest.mark.slow
def test_the_stored_table_is_this_one(table):
    stored = exercise_table.FILE.read_text(encoding="utf-8")
    assert stored == exercise_table.as_text(table[0]), "run python tools/exercise_table.py"


@by_id
def test_wrong_and_right_do_not_depend_on_the_seed(one):
    """In this process, which is fast: many seeds."""
    for seed in range(20, 30):
        assert one.check(one.reference, seed).passed
        for mistake in one.wrong:
            report = one.check(mistake.code, seed)
            assert (report.outcome, report.message) == ("failed", mistake.message)


@by_id
def test_an_exercise_says_all_that_a_learner_needs(one):
    for text in (one.title, one.why, one.task, one.hint, one.reference.__doc__):
        assert text.strip()
    assert "Returns" in one.reference.__doc__
    assert len({case.tried for case in one.cases(np.random.default_rng(1))}) >= 3
    cards = [exercises.card(one.id).data, one.card()]
    assert f"{one.difficulty} of 5" in cards[0] == cards[1]


@by_id
def test_inputs_follow_from_the_seed_and_differ_between_seeds(one):
    def drawn(seed):
        return [case.tried for case in one.cases(np.random.default_rng(seed))]

    assert drawn(3) == drawn(3) != drawn(4)


@by_id
def test_inputs_are_never_zero_or_square(one):
    """At zeros, and in square or symmetric matrices, wrong answers look right.

    Some zeros among the entries are what Hoyer's sparseness is about.
    """
    enough = torch.any if one.id == "probes.hoyer" else torch.all

    def tensors(value):
        if isinstance(value, torch.Tensor | np.ndarray):
            yield torch.as_tensor(value)
        for item in value.values() if isinstance(value, dict) else value:
            if isinstance(item, dict | list | torch.Tensor | np.ndarray):
                yield from (
                    tensors(item) if isinstance(item, dict | list) else [torch.as_tensor(item)]
                )

    for seed in range(5):
        for case in one.cases(np.random.default_rng(seed)):
            for tensor in tensors(list(case.arguments)):
                assert tensor.dtype == torch.bool or enough(tensor != 0)
                assert tensor.ndim < 2 or len(set(tensor.shape)) > 1


# --- The references, against what they stand for --------------------------------------------------


def test_the_masks_are_those_of_the_library():
    weight = torch.randn(7, 5, generator=torch.Generator().manual_seed(1))
    for sparsity in (0.0, 0.31, 0.8, 1.0):
        mask = exercises.find("pruning.magnitude_mask").reference(weight, sparsity)
        library = pruning.global_mask({"weight": weight.abs()}, sparsity)["weight"]
        assert torch.equal(mask, library)
    one = exercises.find("pruning.global_mask")
    for case in one.cases(np.random.default_rng(2)):
        scores, sparsity, within = case.arguments
        library = pruning.global_mask(scores, sparsity, within=within)
        found = one.reference(scores, sparsity, within)
        assert all(torch.equal(found[name], library[name]) for name in library)


def test_the_tickets_are_those_of_the_library():
    """Rewinding, the counts of a control, and a first round, which has no rounding before it."""
    model = networks.mlp((6, 9, 7, 4), seed=4)
    masks = tickets.magnitude_masks(model, 1)
    weights = pruning.weights(model)
    whole = {name: torch.ones_like(mask) for name, mask in masks.items()}
    first = exercises.find("tickets.next_masks").reference(weights, whole, 0.2, 0.1)
    assert all(torch.equal(first[name], masks[name]) for name in masks)

    start = exercises.find("tickets.rewind").reference({3: model.state_dict()}, 3, masks)
    library = pruning.remove(tickets.Ticket(masks, model, step=3).network()).state_dict()
    assert all(torch.equal(start[name], library[name]) for name in library)

    noise = {name: torch.rand(mask.shape, dtype=torch.float64) for name, mask in masks.items()}
    control = exercises.find("tickets.random_masks").reference(masks, noise)
    wanted = tickets.Ticket(masks, model).random_masks(seed=1).counts
    assert {name: int(mask.sum()) for name, mask in control.items()} == wanted


def test_the_barrier_is_that_of_the_library():
    test = data.digits(0).test
    a, b = (networks.mlp((64, 8, 10), seed=seed) for seed in (1, 2))

    def error(parameters):
        model = copy.deepcopy(a)
        model.load_state_dict(parameters)
        return 100 - training.accuracy(model, test)

    height = exercises.find("tickets.barrier").reference(a.state_dict(), b.state_dict(), error, 11)
    assert height == pytest.approx(tickets.barrier(a, b, test).height, abs=0.6)  # an item or two


def test_the_ticket_of_the_search_beats_the_random_mask():
    """On the data of the exercise itself, in most of its draws."""
    one, wins, losses = exercises.find("tickets.find_ticket"), 0, 0
    for seed in range(10):
        for case in one.cases(np.random.default_rng(seed)):
            start, train, rounds, rate = case.arguments
            masks, weights = one.reference(*case.arguments)
            assert all((weights[name] == start[name] * masks[name]).all() for name in masks)
            generator = torch.Generator().manual_seed(seed)
            noise = {n: torch.rand(m.shape, generator=generator) for n, m in masks.items()}
            control = exercises.find("tickets.random_masks").reference(masks, noise)
            better = train.loss(train(start, masks)) < train.loss(train(start, control))
            wins, losses = wins + better, losses + (not better)
    assert wins > 3 * losses


def test_the_break_even_density_is_that_of_real_matrices():
    reference = exercises.find("pruning.csr_break_even").reference
    rng = np.random.default_rng(3)
    for dtype in (np.float32, np.float64, np.int8):
        dense = np.zeros((40, 70), dtype)
        break_even = reference(40, 70, dense.itemsize)
        sizes = []
        for nnz in (int(break_even * 2800), int(break_even * 2800) + 1):
            matrix = dense.copy()
            matrix.flat[rng.permutation(2800)[:nnz]] = 1
            csr = scipy.sparse.csr_matrix(matrix)
            assert csr.indices.dtype == csr.indptr.dtype == np.int32
            sizes.append(csr.data.nbytes + csr.indices.nbytes + csr.indptr.nbytes)
        assert sizes[0] <= dense.nbytes < sizes[1]
    assert reference(50, 2, 1) == 0.0


def test_products_bytes_and_cuts_are_those_of_the_library():
    for (values, columns, starts, x), found in cases_of("costs.csr_product", 5):
        shape = len(starts) - 1, len(x)
        matrix = scipy.sparse.csr_array((values.numpy(), columns, starts), shape)
        assert found.tolist() == (matrix @ x.numpy()).tolist()
        sizes = exercises.find("costs.format_bytes").reference(*shape, len(values), 4)
        weight = torch.from_numpy(matrix.toarray())
        assert sizes == {format: costs.n_bytes(weight, format) for format in sizes}
    for (W, b, next_W, next_b, keep), found in cases_of("costs.cut_neurons", 6):
        model = networks.mlp((W.shape[1], len(W), len(next_W)), seed=1)
        with torch.no_grad():
            for parameter, value in zip(model.parameters(), (W, b, next_W, next_b), strict=True):
                parameter.copy_(value)
        pruning.prune(model, 0.5, rule=rows_of_the_first(keep))
        for parameter, value in zip(pruning.shrink(model).parameters(), found, strict=True):
            torch.testing.assert_close(parameter.data, value)


def rows_of_the_first(keep):
    """A rule whose masks take whole rows out of the first of two layers."""

    def rule(scores, sparsity, *, within):
        first, second = scores
        rows = keep[:, None].expand(scores[first].shape).clone()
        return {first: rows, second: torch.ones_like(scores[second], dtype=torch.bool)}

    return rule


def test_the_interval_is_that_of_the_library():
    one = exercises.find("pruning.paired_interval")
    for case in one.cases(np.random.default_rng(4)):
        pruned, dense, level = case.arguments
        expected = evidence.t_interval(pruned - dense, level)
        found = one.reference(pruned, dense, level)
        assert found == pytest.approx((expected.estimate, expected.low, expected.high))


def test_the_network_for_a_latency_is_the_largest_that_fits():
    one = exercises.find("pruning.prune_to_latency")
    for case in one.cases(np.random.default_rng(5)):
        scores, latency, target = case.arguments
        masks = one.reference(scores, latency, target)
        widths = [int(mask.sum()) for mask in masks]
        assert min(widths) >= 1
        assert latency(widths) <= target
        kept = torch.cat([s[m] for s, m in zip(scores, masks, strict=True)])
        gone = [s[~m] for s, m in zip(scores, masks, strict=True)]
        best = torch.stack([s.max() for s in scores])
        others = kept[~torch.isin(kept, best)]
        assert others.numel() == 0 or others.min() > torch.cat(gone).max()
        # Give the neurons back one by one, the best first: every one of these is too slow.
        for score in torch.cat(gone).sort(descending=True).values:
            layer = next(i for i, left in enumerate(gone) if score in left)
            widths[layer] += 1
            assert latency(widths) > target
    with pytest.raises(ValueError, match="2 widths"):
        exercise._of("pruning")[-1].cases(np.random.default_rng(1)).__next__().arguments[1]([3])


def cases_of(one, seed):
    one = exercises.find(one)
    for case in one.cases(np.random.default_rng(seed)):
        yield case.arguments, one.reference(*case.arguments)


def test_the_toy_model_is_that_of_the_library():
    for (W, b, x, importance), found in cases_of("superposition.toy_loss", 6):
        model = superposition.ToyModels(W.shape[1], W.shape[0], seeds=[0])
        model.W.data, model.b.data = W.unsqueeze(0), b.unsqueeze(0)
        assert found == pytest.approx(superposition.loss(model, x, importance).item())
    for (W,), found in cases_of("superposition.dimensionality", 7):
        torch.testing.assert_close(found, superposition.dimensionality(W))
    for (W, nonzeros, least), found in cases_of("superposition.keep_largest", 8):
        mask = superposition.largest(W.abs().unsqueeze(0), nonzeros, least=least)[0]
        assert torch.equal(found, W * mask)


def test_the_phases_are_those_of_the_library_and_of_many_inputs():
    ways = [([1.0, 0.0], [0, 1]), ([0.0, 1.0], [1, 0]), ([1.0, -1.0], [0, 0])]
    for (p_zero, importance), found in cases_of("superposition.phase_losses", 9):
        assert found == pytest.approx(superposition.phase_losses(p_zero, importance).tolist())
        draw = torch.Generator().manual_seed(9)
        x = superposition.features(200_000, 2, p_zero=p_zero, draw=draw)
        for (W, guessed), loss in zip(ways, found, strict=True):
            model = superposition.ToyModels(2, 1, seeds=[0])
            model.W.data = torch.tensor([[W]])
            model.b.data = torch.tensor([guessed]) * (1 - p_zero) / 2
            sampled = superposition.loss(model, x, torch.tensor([1.0, importance])).item()
            assert loss == pytest.approx(sampled, rel=0.05)


def test_the_activations_and_the_measure_are_those_of_the_library():
    for (pre, k), found in cases_of("autoencoders.top_k", 10):
        assert torch.equal(found, autoencoders.TopK(k)(pre))
    for (x, x_hat), found in cases_of("autoencoders.fvu", 11):
        assert found == pytest.approx(autoencoders.fvu(x, x_hat))
    for (train, pre, k), found in cases_of("autoencoders.batch_top_k_latents", 12):
        activation = autoencoders.BatchTopK(k)
        activation(train)  # its threshold starts with the first batch
        assert torch.equal(found, activation.eval()(pre))


def test_the_step_of_the_decoder_is_that_of_the_library():
    for (W, gradient, rate), found in cases_of("autoencoders.update_decoder", 13):
        model = autoencoders.SparseAutoencoder(W.shape[1], W.shape[0], seed=0)
        model.W_dec.data, model.W_dec.grad = W.clone(), gradient.clone()
        model.remove_parallel_gradient()
        torch.optim.SGD([model.W_dec], lr=rate).step()
        model.project()
        torch.testing.assert_close(found, model.W_dec.detach())


def test_a_trained_jumprelu_autoencoder_is_one_of_the_library():
    *_, (arguments, found) = cases_of("autoencoders.train_to_l0", 14)
    x, start, target, _, _ = arguments
    d_in, d_sae = start["W_enc"].shape
    activation = autoencoders.JumpReLU(d_sae, log=False)
    model = autoencoders.SparseAutoencoder(d_in, d_sae, activation, seed=0)
    tensors = found | {"activation.threshold": found["theta"]}
    left = model.load_state_dict(tensors, strict=False).missing_keys
    assert set(left) == {"input_mean", "input_scale"}
    measured = autoencoders.evaluate(model, x)
    assert (measured.l0, measured.fvu) == pytest.approx(chapter_06._measured(x, found), rel=1e-5)
    assert measured.l0 == pytest.approx(target, rel=0.1)


def test_what_probes_exercises_ask_for_is_what_the_library_measures():
    one = exercises.find("probes.hoyer")
    for case in one.cases(np.random.default_rng(6)):
        torch.testing.assert_close(
            one.reference(*case.arguments).double(),
            probes.hoyer(*case.arguments),
            atol=1e-6,
            rtol=0,
        )
    one = exercises.find("probes.disagree")
    for case in one.cases(np.random.default_rng(7)):
        (h,) = case.arguments
        vector = one.reference(h)
        assert probes.hoyer(vector) > probes.hoyer(h) + 1e-3
        assert probes.gini(vector) < probes.gini(h) - 1e-3
    one = exercises.find("probes.beat_the_softmax")
    for case in one.cases(np.random.default_rng(8)):
        validation, test, weights = case.arguments

        def area(items, w):
            signal = items["softmax"] + w * items["sparsity"]
            return probes.auroc(signal[~items["wrong"]], signal[items["wrong"]]).estimate

        areas = [area(validation, w) for w in weights]
        gain = area(test, weights[int(np.argmax(areas))]) - area(test, 0)
        assert one.reference(*case.arguments) == pytest.approx(gain)


def test_the_noise_dial_adds_its_share_where_nothing_is_clipped():
    reference = exercises.find("probes.noise_dial").reference
    rng = np.random.default_rng(9)
    x = torch.from_numpy(rng.uniform(0.4, 0.6, (5, 8)))
    noise = torch.from_numpy(rng.normal(size=(5, 8)))
    added = reference(x, noise, 0.1) - x
    torch.testing.assert_close(added.norm(dim=1), 0.1 * x.norm(dim=1))
    torch.testing.assert_close(torch.cosine_similarity(added, noise), torch.ones(5).double())


# --- The machinery --------------------------------------------------------------------------------


def double(values):
    """Double a tensor. Returns a tensor."""
    return values * 2


def tensors(rng):
    for n in (2, 3):
        yield Case(f"{n} values", (torch.from_numpy(rng.normal(size=n)),))


def small_exercise(**changes):
    fields = {
        "id": "small.double",
        "chapter": "99_small",
        "title": "double",
        "difficulty": 1,
        "minutes": 1,
        "why": "w",
        "task": "t",
        "hint": "h",
        "reference": double,
        "cases": tensors,
        "wrong": [
            Wrong(lambda values: values + 2, "You added 2."),
            Wrong(lambda values: values[:2] * 2, "You took two."),
        ],
    }
    return Exercise(**(fields | changes))


def test_a_mistake_is_named_only_if_it_explains_every_failure():
    one = small_exercise()
    assert one.check(lambda values: values + 2, 1).message == "You added 2."
    # Right for two values: only the case of three fails, and this mistake explains it.
    assert one.check(lambda values: values[:2] * 2, 1).message == "You took two."

    def mixed(values):
        return values + 2 if len(values) == 2 else values + 3

    assert one.check(mixed, 1).message == "The answer has other values than expected."


def test_an_exercise_may_bring_its_own_check():
    def check(function, seed):
        return exercises.Report("passed" if function(torch.ones(3)).sum() == 6 else "failed")

    one = small_exercise(check=check, cases=None)
    assert one.check(double, 1).passed
    assert not one.check(lambda values: values, 1).passed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"difficulty": 6}, "difficulty is 1 to 5"),
        ({"minutes": 0}, "minutes at least 1"),
        ({"id": "small.triple"}, "the reference's name, 'double'"),
        ({"cases": None}, "needs cases"),
    ],
)
def test_a_faulty_exercise_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        small_exercise(**changes)


MASK = torch.tensor([[True, False, True], [False, False, True]])


@pytest.mark.parametrize(
    ("got", "expected", "message"),
    [
        (MASK.clone(), MASK, ""),
        (~MASK, MASK, "keeps as many as it should, 3 of 6, but not the right ones"),
        (torch.ones_like(MASK), MASK, "keeps 6 of 6; 3 should stay"),
        (MASK.int(), MASK, "dtype int32; asked for is bool"),
        (MASK.t(), MASK, "shape (3, 2); asked for is the shape (2, 3)"),
        (torch.tensor([1.0, float("nan")]), torch.tensor([1.0, 2.0]), "holds NaN"),
        (torch.tensor([1.0, 2.0 + 1e-7]), torch.tensor([1.0, 2.0]), ""),
        (torch.tensor([1.0, 2.01]), torch.tensor([1.0, 2.0]), "other values"),
        (0.1 + 0.2, 0.3, ""),
        (torch.tensor(0.3, dtype=torch.float64), 0.3, ""),
        (torch.full((3,), 0.3).double(), torch.full((3,), 0.3), ""),
        (torch.full((3,), 0.4).double(), torch.full((3,), 0.3), "other values than expected"),
        (torch.full((3,), 0.3).half(), torch.full((3,), 0.3), "dtype float16; asked for is"),
        (np.float64(0.3), 0.3, ""),
        (1, 1.0, ""),
        (True, 1.0, "is a truth value; asked for is a number"),
        (0.31, 0.3, "The answer is 0.31, not 0.3."),
        (float("inf"), 0.3, "The answer is inf"),
        (float("nan"), 0.3, "is NaN"),
        ("0.3", 0.3, "is the text '0.3'"),
        (None, 0.3, "Is a `return` missing?"),
        ([1.0, 2.0], (1.0, 2.0), ""),
        ([1.0, 2.5], (1.0, 2.0), "Entry 2 of the answer is 2.5, not 2."),
        ([1.0], (1.0, 2.0), "has 1 entries; asked for are 2"),
        (3.0, (1.0, 2.0), "is a float; asked for are 2 values"),
        ({"a": 1.0}, {"a": 1.0}, ""),
        ({"a": 2.0}, {"a": 1.0}, "The entry 'a' is 2, not 1."),
        ({"b": 2.0}, {"a": 1.0}, "has the keys ['b']; asked for are ['a']"),
        ([1.0], {"a": 1.0}, "is a list; asked for is a dictionary"),
    ],
)  # fmt: skip
def test_differences_are_said_in_a_sentence(got, expected, message):
    said = comparing.difference(got, expected)
    assert (message in said) if message else (said == "")
    assert comparing.describe(got)


def test_numbers_are_described_alike_whatever_made_them():
    assert comparing.describe((np.float64(-1.25), 0.5)) == "-1.25, 0.5"


def test_mutants_are_many_small_and_always_the_same():
    source = textwrap.dedent(
        '''
        def f(a, b):
            """Text that no mutant touches."""
            total = a - b
            if not a < 2:
                total = max(a, b)
            return total, a.sum(axis=0)
        '''
    )
    found = mutants.mutants(source)
    assert found == mutants.mutants(source)
    assert len({mutant.source for mutant in found}) == len(found)
    what = {mutant.what for mutant in found}
    assert {
        "`total = a + b`", "`total = b - a`", "`total = b - b`", "without `total = a - b`",
        "`if a < 2:`", "`if not a <= 2:`", "`if not a < 3:`", "`total = min(a, b)`",
        "`total = max(b, a)`", "`return (total, a.sum(axis=1))`", "`return (total, a.sum())`",
        "`return (total, a.mean(axis=0))`", "`return (a.sum(axis=0), total)`",
    } <= what  # fmt: skip
    for mutant in found:
        compile(mutant.source, "<mutant>", "exec")
        assert "Text" not in mutant.source


# --- The cells ------------------------------------------------------------------------------------

CHAPTERS = exercise_cells.chapters()
WITH_EXERCISES = {
    path.stem: notebook
    for path in CHAPTERS
    if exercise_cells.exercise_cells_of(notebook := nbformat.read(path, as_version=4))
}


def test_a_stub_is_the_reference_without_its_body():
    one = exercises.find("pruning.paired_interval")
    assert one.imports() == "import math\n\nfrom scipy import stats"
    assert one.stub().startswith('def paired_interval(pruned, dense, level):\n    """Return')
    assert "ppf" not in one.stub()
    assert one.stub().endswith("raise NotImplementedError  # your code, in place of this line")


@pytest.mark.parametrize("name", WITH_EXERCISES)
def test_chapters_show_the_exercises_as_they_are_tested(name):
    """So a solution on the page is the reference, word for word."""
    notebook = WITH_EXERCISES[name]
    fresh = exercise_cells.write(copy.deepcopy(notebook), name)
    assert fresh == notebook, f"run python tools/exercise_cells.py {name}.ipynb"


def small_chapter():
    chapter = new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        cells=[
            new_markdown_cell("# 01 A chapter"),
            new_code_cell(SETUP_CELL),
            new_code_cell("raise RuntimeError('an experiment that exercises do not need')"),
            new_markdown_cell("## 8 · Exercises\n\nTry them."),
            new_markdown_cell("## 9 · Verdicts"),
        ],
    )
    return exercise_cells.write(chapter, "01_pruning")


def test_cells_are_written_once_and_again():
    chapter = small_chapter()
    again = exercise_cells.write(copy.deepcopy(chapter), "01_pruning")
    assert again == chapter
    sources = [cell.source for cell in chapter.cells]
    assert sources[3].startswith("## 8 · Exercises")
    assert sources[-1] == "## 9 · Verdicts"
    assert len(sources) == 5 + 4 * len(exercises.of_chapter("01_pruning"))
    edited = copy.deepcopy(chapter)
    edited.cells[5].source += "\n# edited"
    assert exercise_cells.write(edited, "01_pruning") == chapter
    del chapter.cells[3:]
    with pytest.raises(ValueError, match="heading 'Exercises'"):
        exercise_cells.write(chapter, "01_pruning")


def test_the_cells_keep_the_rules_of_the_house():
    chapter = small_chapter()
    chapter.cells[1].metadata = test_notebooks.FOLDED  # the set-up cell, which no exercise needs
    assert [fault for rule in test_notebooks.CHECKS for fault in rule(chapter)] == []


def test_the_tool_writes_a_notebook_as_it_is_committed(tmp_path, capsys):
    path = tmp_path / "01_pruning.ipynb"
    chapter = small_chapter()
    chapter.cells[4:-1] = []
    nbformat.write(chapter, path)
    assert exercise_cells.main([str(path)]) == 0
    assert notebooks.is_clean(path)
    written = nbformat.read(path, as_version=4)
    assert exercise_cells.exercise_cells_of(written) == exercise_cells.exercise_cells_of(
        small_chapter()
    )
    other = path.rename(tmp_path / "99_none.ipynb")
    assert exercise_cells.main([str(other)]) == 1
    assert "chapter '99_none'" in capsys.readouterr().err


def reports(cells):
    """The texts of the reports among the outputs of cells that ran."""
    assert not [o for c in cells for o in c.get("outputs", ()) if o.output_type == "error"]
    return [
        output.data["text/plain"]
        for cell in cells
        if "exercise-check" in cell.metadata.get("tags", [])
        for output in cell.outputs
        if output.output_type == "execute_result"
    ]


def execute(cells, folder):
    """Run cells in a new kernel, all of them whatever fails."""
    whole = new_notebook(cells=cells, metadata=small_chapter().metadata)
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(whole, timeout=120, allow_errors=True, resources=resources).execute()


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """By chapter, what its exercises need, as it ran: as handed out, then with every stub filled.

    All in one kernel, which takes seconds to start; before each chapter it forgets every name.
    """
    cells, parts = [], {}
    for name, notebook in WITH_EXERCISES.items():
        both = (notebook, exercise_cells.fill(notebook))
        parts[name] = [exercise_cells.what_exercises_need(one).cells for one in both]
        forget = new_code_cell("%reset_selective -f .")  # %reset takes what workers need too
        cells += [forget, *parts[name][0], *parts[name][1]]
    for cell in cells:
        cell.id = uuid.uuid4().hex  # a chapter stands here twice
    execute(cells, tmp_path_factory.mktemp("exercises"))
    return parts


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_EXERCISES)
def test_stubs_go_through_and_solutions_pass(name, ran):
    unfilled, filled = map(reports, ran[name])
    assert len(unfilled) == len(filled) >= (1 if name == "00_start" else 3)
    assert all("not attempted yet" in text for text in unfilled)
    assert all(": passed." in text for text in filled), "\n".join(filled)
    assert f"{len(filled)} of {len(filled)}" in filled[-1]


@pytest.mark.slow
def test_a_notebook_shows_the_learners_own_lines(tmp_path):
    """A cell is no file on disk; its lines come from the kernel."""
    notebook = small_chapter()
    stub = next(c for c in notebook.cells if "exercise-stub" in c.metadata.get("tags", []))
    stub.source = "def magnitude_mask(weight, sparsity):\n    return weight[10**6]"
    cells = exercise_cells.what_exercises_need(notebook).cells
    execute(cells, tmp_path)
    first, *_ = reports(cells)
    assert "raised IndexError" in first
    assert "line 2, in magnitude_mask: return weight[10**6]" in first


def extension():
    path = exercise_table.ROOT / "book" / "_ext" / "course_exercises.py"
    spec = importlib.util.spec_from_file_location("course_exercises", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_shows_the_table_and_the_site_has_its_file(tmp_path):
    book = extension()
    rows = json.loads(exercise_table.FILE.read_text(encoding="utf-8"))
    rows[0] |= {"title": "<b>", "mistakes": ["a < b"]}
    page = BeautifulSoup(book.table(rows) + "".join(map(book.details, rows)), "html.parser")
    body = [[cell.get_text() for cell in row.find_all(["th", "td"])] for row in page.select("tr")]
    assert len(body) == len(rows) + 1
    assert body[1][0] == "<b>" + rows[0]["id"]
    assert body[1][1] == f"{rows[0]['wrong_killed']} of {rows[0]['wrong_total']}"
    assert page.select("details li")[0].get_text() == "a < b"
    app = SimpleNamespace(
        srcdir=exercise_table.ROOT, outdir=tmp_path, builder=SimpleNamespace(format="html")
    )
    book.write_json(app, None)
    stored = exercise_table.FILE.read_text(encoding="utf-8")
    assert (tmp_path / "exercises.json").read_text(encoding="utf-8") == stored


def test_the_table_is_a_file_that_a_program_can_read():
    rows = json.loads(exercise_table.FILE.read_text(encoding="utf-8"))
    assert [row["id"] for row in rows] == [one.id for one in ALL]
    counts = {"wrong_total", "wrong_killed", "right_total", "right_passed"}
    counts |= {"mutants_total", "mutants_killed", "equivalent"}
    for row in rows:
        assert {type(row[name]) for name in counts} == {int}


def test_no_line_of_a_stub_is_cut_on_a_laptop_and_no_word_is_lost():
    for topic in exercise.TOPICS:
        for one in exercise._of(topic):
            stub, solution = one.stub(), one.solution()
            assert max(map(len, f"{one.imports()}\n{stub}".splitlines())) <= exercise.LINE, one.id
            told = [ast.get_docstring(ast.parse(text).body[0]).split() for text in (stub, solution)]
            assert told[0] == told[1], one.id


def test_an_argument_that_is_told_in_one_long_line_goes_on_below_itself():
    long = "word " * 16 + "end."
    lines = ["def f(a, b):", f'    """{long}', "", f"    a: {long}", f"    b: {long}", '    """']
    narrow = exercise._narrowed(lines).splitlines()
    assert max(map(len, narrow)) <= exercise.LINE
    assert [line for line in narrow if line.startswith("    a: ")]
    after_a = narrow[[line[:6] for line in narrow].index("    a:") + 1]
    assert after_a.startswith("        ")
    assert [line for line in narrow if line.startswith("    b: word")]
