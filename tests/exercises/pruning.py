"""What learners should not see at a glance: more wrong answers, right ones, and equivalent mutants.

`WRONG` holds answers as people write them, each with the message that must come. Most make a
mistake that the exercise knows, in other words than it does. `RIGHT` holds right answers of
another style than the reference. `EQUIVALENT` names mutants that give the right answer, and why.
"""

IN_PLACE = "changed its input in place"

WRONG = {
    "pruning.magnitude_mask": [
        (
            """
            def magnitude_mask(weight, sparsity):
                n = round(sparsity * weight.numel())
                order = weight.abs().flatten().argsort(descending=True)
                keep = torch.zeros(weight.numel(), dtype=torch.bool)
                keep[order[weight.numel() - n:]] = True
                return keep.view(weight.shape)
            """,
            "You kept the smallest weights",
        ),
        (
            """
            def magnitude_mask(weight, sparsity):
                n = round(sparsity * weight.numel())
                ranks = weight.flatten().argsort().argsort()
                return (ranks >= n).view(weight.shape)
            """,
            "ranked the weights with their sign",
        ),
        (
            """
            def magnitude_mask(weight, sparsity):
                n = int(sparsity * weight.numel())
                ranks = weight.abs().flatten().argsort().argsort()
                return (ranks >= n).view(weight.shape)
            """,
            "int() rounds down",
        ),
        (
            """
            def magnitude_mask(weight, sparsity):
                threshold = torch.quantile(weight.abs(), sparsity)
                return weight.abs() > threshold
            """,
            "keeps",  # a threshold keeps one too many or too few, depending on the count
        ),
        (
            """
            def magnitude_mask(weight, sparsity):
                scores = weight.abs()
                cut = scores.flatten().sort().values[round(sparsity * scores.numel()) - 1]
                return scores > cut
            """,
            "its index is −1",
        ),
        (
            """
            def magnitude_mask(weight, sparsity):
                scores = weight.abs_()
                n = round(sparsity * scores.numel())
                return (scores.flatten().argsort().argsort() >= n).view(scores.shape)
            """,
            IN_PLACE,
        ),
        (
            """
            def magnitude_mask(weight, sparsity):
                n = round(sparsity * weight.numel())
                return (weight.abs().flatten().argsort().argsort() >= n).view(weight.shape).float()
            """,
            "has the dtype float32; asked for is bool",
        ),
        (
            """
            def magnitude_mask(weight, sparsity):
                n = round(sparsity * weight.numel())
                return weight.abs().flatten().argsort().argsort() >= n
            """,
            "has the shape (35,)",
        ),
        (
            """
            def magnitude_mask(weight, sparsity):
                rows, columns = weight.shape
                n = round(sparsity * rows * columns)
                return (weight.abs().flatten().argsort().argsort() >= n).view(rows, columns)
            """,
            "too many values to unpack",
        ),
        (
            """
            def magnitude_mask(weight, sparsity):
                keep = torch.ones(5, 7, dtype=torch.bool)
                n = round(sparsity * 35)
                keep.view(-1)[weight.abs().flatten().argsort()[:n]] = False
                return keep
            """,
            "raised IndexError",
        ),
        (
            """
            def magnitude_mask(weight, sparsity):
                n = round(sparsity * weight.numel())
                return (weight.abs().flatten().argsort() >= n).view(weight.shape)
            """,
            "keeps as many as it should",  # argsort gives places, not ranks
        ),
        (
            """
            def magnitude_mask(weight, sparsity):
                return torch.rand(weight.shape) > sparsity
            """,
            "keeps",
        ),
    ],
    "pruning.global_mask": [
        (
            """
            def global_mask(scores, sparsity, within):
                masks = {}
                for name, score in scores.items():
                    score = torch.where(within[name], score, -torch.inf)
                    n = round(sparsity * score.numel())
                    ranks = score.flatten().argsort().argsort()
                    masks[name] = (ranks >= n).view(score.shape)
                return masks
            """,
            "one threshold over all layers",
        ),
        (
            """
            def global_mask(scores, sparsity, within):
                for name in scores:
                    scores[name][~within[name]] = -torch.inf
                flat = torch.cat([score.flatten() for score in scores.values()])
                ranks = flat.argsort().argsort() >= round(sparsity * len(flat))
                parts = ranks.split([score.numel() for score in scores.values()])
                return {n: p.view(scores[n].shape) for n, p in zip(scores, parts)}
            """,
            IN_PLACE,
        ),
        (
            """
            def global_mask(scores, sparsity, within):
                flat = torch.cat([score.flatten() for score in scores.values()])
                keep = flat.argsort().argsort() >= round(sparsity * len(flat))
                parts = keep.split([score.numel() for score in scores.values()])
                return {n: p.view(scores[n].shape) for n, p in zip(scores, parts)}
            """,
            "Weights that were pruned before came back",
        ),
        (
            """
            def global_mask(scores, sparsity, within):
                alive = torch.cat([scores[n][within[n]] for n in scores])
                cut = alive.sort().values[round(sparsity * len(alive))]
                return {n: within[n] & (scores[n] >= cut) for n in scores}
            """,
            "You took the sparsity of the weights that are left",
        ),
        (
            """
            def global_mask(scores, sparsity, within):
                n = sum(score.numel() for score in scores.values())
                alive = torch.cat([scores[k][within[k]] for k in scores]).sort().values
                k = round(sparsity * n)
                cut = alive[k] if k < len(alive) else torch.inf
                return {k: within[k] & (scores[k] >= cut) for k in scores}
            """,
            "besides those that were gone already",
        ),
        (
            """
            def global_mask(scores, sparsity, within):
                scores = {n: s * within[n] for n, s in scores.items()}
                flat = torch.cat([score.flatten() for score in scores.values()])
                keep = flat.argsort().argsort() >= round(sparsity * len(flat))
                parts = keep.split([score.numel() for score in scores.values()])
                return {n: p.view(scores[n].shape) for n, p in zip(scores, parts)}
            """,
            "You gave the pruned weights the score 0",
        ),
        (
            """
            def global_mask(scores, sparsity, within):
                hidden = {n: torch.where(within[n], s, -torch.inf) for n, s in scores.items()}
                flat = torch.cat([score.flatten() for score in hidden.values()])
                keep = flat.argsort().argsort() >= int(sparsity * len(flat))
                parts = keep.split([score.numel() for score in scores.values()])
                return {n: p.view(scores[n].shape) for n, p in zip(scores, parts)}
            """,
            "int() rounds down",
        ),
        (
            """
            def global_mask(scores, sparsity, within):
                hidden = [torch.where(within[n], s, -torch.inf) for n, s in scores.items()]
                flat = torch.cat([score.flatten() for score in hidden])
                return flat.argsort().argsort() >= round(sparsity * len(flat))
            """,
            "asked for is a dictionary",
        ),
        (
            """
            def global_mask(scores, sparsity, within):
                hidden = {n: torch.where(within[n], s, -torch.inf) for n, s in scores.items()}
                flat = torch.cat([score.flatten() for score in hidden.values()])
                keep = (flat.argsort().argsort() >= round(sparsity * len(flat))).float()
                parts = keep.split([score.numel() for score in scores.values()])
                return {n: p.view(scores[n].shape) for n, p in zip(scores, parts)}
            """,
            "has the dtype float32; asked for is bool",
        ),
        (
            """
            def global_mask(scores, sparsity, within):
                masks = within
                flat = torch.cat([torch.where(within[n], scores[n], -torch.inf).flatten()
                                  for n in scores])
                cut = flat.sort().values[round(sparsity * len(flat))]
                for name in masks:
                    masks[name] &= scores[name] >= cut
                return masks
            """,
            IN_PLACE,
        ),
    ],
    "pruning.csr_break_even": [
        (
            """
            def csr_break_even(rows, columns, itemsize):
                return itemsize / (itemsize + 4)
            """,
            "You left out where the rows start",
        ),
        (
            """
            def csr_break_even(rows, columns, itemsize):
                n = rows * columns
                return max((n * itemsize - 4 * rows) / (n * (itemsize + 4)), 0)
            """,
            "one start more than there are rows",
        ),
        (
            """
            def csr_break_even(rows, columns, itemsize):
                n = rows * columns
                return max((n * itemsize - 4 * columns - 4) / (n * (itemsize + 4)), 0)
            """,
            "You counted the starts of columns",
        ),
        (
            """
            def csr_break_even(rows, columns, itemsize):
                n = rows * columns
                nnz = (n * itemsize - 8 * (rows + 1)) / (itemsize + 8)
                return max(nnz / n, 0.0)
            """,
            "You took 8 bytes for an index",
        ),
        (
            """
            def csr_break_even(rows, columns, itemsize):
                n = rows * columns
                nnz = (n * itemsize - 4 * (rows + 1)) / (itemsize + 4)
                return max(1 - nnz / n, 0.0)
            """,
            "You returned the sparsity",
        ),
        (
            """
            def csr_break_even(rows, columns, itemsize):
                n = rows * columns
                return (n * itemsize - 4 * (rows + 1)) / (itemsize + 4) / n
            """,
            "your density is negative",
        ),
        (
            """
            def csr_break_even(rows, columns, itemsize):
                n = rows * columns
                return max(0, (n * itemsize - 4 * (rows + 1)) // (itemsize + 4)) / n
            """,
            "The answer is",
        ),
        (
            """
            def csr_break_even(rows, columns, itemsize):
                n = rows * columns
                return f"{max(0, (n * itemsize - 4 * (rows + 1)) / (itemsize + 4)) / n:.3f}"
            """,
            "asked for is a number",
        ),
        (
            """
            def csr_break_even(rows, columns, itemsize):
                n = rows * columns
                return float(max(0, n * itemsize - 4 * (rows + 1)) / 0.0 if n < 0 else "nan")
            """,
            "is NaN",
        ),
        (
            """
            def csr_break_even(rows, columns, itemsize):
                n = rows * columns
                return round(max(0, (n * itemsize - 4 * (rows + 1)) / (itemsize + 4)) / n, 2)
            """,
            "The answer is",
        ),
    ],
    "pruning.paired_interval": [
        (
            """
            def paired_interval(pruned, dense, level):
                result = stats.ttest_ind(pruned, dense).confidence_interval(level)
                return pruned.mean() - dense.mean(), result.low, result.high
            """,
            "You compared two groups",
        ),
        (
            """
            def paired_interval(pruned, dense, level):
                result = stats.ttest_ind(pruned, dense, equal_var=False)
                ends = result.confidence_interval(level)
                return pruned.mean() - dense.mean(), ends.low, ends.high
            """,
            "You used Welch's interval",
        ),
        (
            """
            def paired_interval(pruned, dense, level):
                d = pruned - dense
                half = stats.t.ppf((1 + level) / 2, len(d) - 1) * np.std(d) / np.sqrt(len(d))
                return d.mean(), d.mean() - half, d.mean() + half
            """,
            "divides by n − 1: ddof=1",
        ),
        (
            """
            def paired_interval(pruned, dense, level):
                d = pruned - dense
                return d.mean(), *stats.norm.interval(level, d.mean(), stats.sem(d))
            """,
            "quantile of the normal distribution",
        ),
        (
            """
            def paired_interval(pruned, dense, level):
                d = pruned - dense
                alpha = 1 - level
                half = stats.t.ppf(1 - alpha, len(d) - 1) * stats.sem(d)
                return d.mean(), d.mean() - half, d.mean() + half
            """,
            "Half of it belongs on each side",
        ),
        (
            """
            def paired_interval(pruned, dense, level):
                d = pruned - dense
                return d.mean(), *stats.t.interval(level, len(d) - 1, d.mean(), d.std(ddof=1))
            """,
            "You left out √n",
        ),
        (
            """
            def paired_interval(pruned, dense, level):
                d = dense - pruned
                return d.mean(), *stats.t.interval(level, len(d) - 1, d.mean(), stats.sem(d))
            """,
            "Your sign is turned",
        ),
        (
            """
            def paired_interval(pruned, dense, level):
                d = pruned - dense
                return d.mean(), *stats.t.interval(level, len(d), d.mean(), stats.sem(d))
            """,
            "n − 1 degrees of freedom",
        ),
        (
            """
            def paired_interval(pruned, dense, level):
                pruned -= dense
                half = stats.t.ppf((1 + level) / 2, len(dense) - 1) * stats.sem(pruned)
                return pruned.mean(), pruned.mean() - half, pruned.mean() + half
            """,
            IN_PLACE,
        ),
        (
            """
            def paired_interval(pruned, dense, level):
                d = pruned - dense
                return stats.t.interval(level, len(d) - 1, d.mean(), stats.sem(d))
            """,
            "has 2 entries; asked for are 3",
        ),
        (
            """
            def paired_interval(pruned, dense, level):
                d = pruned - dense
                return d.mean(), *stats.t.interval(0.95, len(d) - 1, d.mean(), stats.sem(d))
            """,
            "Entry 2 of the answer is",
        ),
    ],
    "pruning.prune_to_latency": [
        (
            """
            def prune_to_latency(scores, latency, target):
                order = torch.cat(scores).argsort(descending=True)
                for n in range(len(order), 0, -1):
                    keep = torch.zeros(len(order), dtype=torch.bool)
                    keep[order[:n]] = True
                    masks = keep.split([len(s) for s in scores])
                    if latency([int(m.sum()) for m in masks]) <= target:
                        return masks
            """,
            "A layer has lost all its neurons",
        ),
        (
            """
            def prune_to_latency(scores, latency, target):
                masks = [s == s.max() for s in scores]
                rest = sorted(((s[i].item(), l, i) for l, s in enumerate(scores)
                               for i in range(len(s)) if not masks[l][i]), reverse=True)
                for _, layer, i in rest:
                    masks[layer][i] = True
                    if latency([int(m.sum()) for m in masks]) > target:
                        masks[layer][i] = False
                        break
                return masks
            """,
            "stopped at the first network that is too slow",
        ),
        (
            """
            def prune_to_latency(scores, latency, target):
                ranked = [torch.where(s == s.max(), torch.inf, s) for s in scores]
                order = torch.cat(ranked).argsort(descending=True)
                def masks(n):
                    keep = torch.zeros(len(order), dtype=torch.bool)
                    keep[order[:n]] = True
                    return list(keep.split([len(s) for s in scores]))
                low, high = len(scores), len(order)
                while low < high:
                    middle = (low + high + 1) // 2
                    if latency([int(m.sum()) for m in masks(middle)]) <= target:
                        low = middle
                    else:
                        high = middle - 1
                return masks(low)
            """,
            "You halved the interval",
        ),
        (
            """
            def prune_to_latency(scores, latency, target):
                masks = [torch.ones(len(s), dtype=torch.bool) for s in scores]
                rest = sorted((s[i].item(), l, i) for l, s in enumerate(scores)
                              for i in range(len(s)) if i != s.argmax())
                for _, layer, i in rest:
                    if latency([int(m.sum()) for m in masks]) < target:
                        break
                    masks[layer][i] = False
                return masks
            """,
            "at most means ≤",
        ),
        (
            """
            def prune_to_latency(scores, latency, target):
                masks = [torch.ones(len(s), dtype=torch.bool) for s in scores]
                rest = sorted((s[i].item(), l, i) for l, s in enumerate(scores)
                              for i in range(len(s)) if i != s.argmax())
                for _, layer, i in rest:
                    slow = latency([int(m.sum()) for m in masks]) > target
                    masks[layer][i] = False
                    if not slow:
                        break
                return masks
            """,
            "One neuron too few stays",
        ),
        (
            """
            def prune_to_latency(scores, latency, target):
                for score in scores:
                    score[score.argmax()] = torch.inf
                order = torch.cat(scores).argsort(descending=True)
                for n in range(len(order), 0, -1):
                    keep = torch.zeros(len(order), dtype=torch.bool)
                    keep[order[:n]] = True
                    masks = keep.split([len(s) for s in scores])
                    if latency([int(m.sum()) for m in masks]) <= target:
                        return list(masks)
            """,
            IN_PLACE,
        ),
        (
            """
            def prune_to_latency(scores, latency, target):
                widths = [len(s) for s in scores]
                while latency(widths) > target:
                    widths[widths.index(max(widths))] -= 1
                return widths
            """,
            "asked for is a tensor",
        ),
        (
            """
            def prune_to_latency(scores, latency, target):
                total = sum(len(s) for s in scores)
                for gone in range(total):
                    kept = [max(1, len(s) - round(gone / total * len(s))) for s in scores]
                    if latency(kept) <= target:
                        ranks = [s.argsort(descending=True).argsort() for s in scores]
                        return [rank < n for rank, n in zip(ranks, kept)]
            """,
            "You took the same share from every layer",
        ),
        (
            """
            def prune_to_latency(scores, latency, target):
                masks = [torch.ones(len(s), dtype=torch.bool) for s in scores]
                rest = sorted((s[i].item(), l, i) for l, s in enumerate(scores)
                              for i in range(len(s)) if i != s.argmax())
                for _, layer, i in rest:
                    if latency(sum(int(m.sum()) for m in masks)) <= target:
                        break
                    masks[layer][i] = False
                return masks
            """,
            "raised TypeError",
        ),
    ],
}

RIGHT = {
    "pruning.magnitude_mask": [
        """
        def magnitude_mask(weight, sparsity):
            values = sorted(abs(w) for w in weight.flatten().tolist())
            n = round(sparsity * len(values))
            stay = set(values[n:])
            return torch.tensor([abs(w) in stay for w in weight.flatten().tolist()],
                                dtype=torch.bool).reshape(weight.shape)
        """,
        """
        def magnitude_mask(weight, sparsity):
            w = np.abs(weight.numpy())
            n = round(sparsity * w.size)
            keep = np.ones(w.size, dtype=bool)
            keep[np.argpartition(w.ravel(), n - 1)[:n] if n else []] = False
            return torch.from_numpy(keep.reshape(w.shape))
        """,
        """
        def magnitude_mask(weight, sparsity):
            squares = (weight ** 2).flatten()
            ranks = squares.argsort().argsort()
            return (ranks >= round(sparsity * squares.numel())).reshape(weight.shape)
        """,
    ],
    "pruning.global_mask": [
        """
        def global_mask(scores, sparsity, within):
            places = [(float(scores[n].flatten()[i]), n, i) for n in scores
                      for i in range(scores[n].numel()) if within[n].flatten()[i]]
            total = sum(score.numel() for score in scores.values())
            to_go = round(sparsity * total) - (total - len(places))
            masks = {n: within[n].clone().flatten() for n in scores}
            for _, name, i in sorted(places)[:to_go]:
                masks[name][i] = False
            return {n: mask.view(scores[n].shape) for n, mask in masks.items()}
        """,
        """
        def global_mask(scores, sparsity, within):
            flat = np.concatenate([np.where(within[n], s, -np.inf).ravel()
                                   for n, s in scores.items()])
            order = np.argsort(flat, kind="stable")
            keep = np.ones(len(flat), dtype=bool)
            keep[order[:round(sparsity * len(flat))]] = False
            masks, start = {}, 0
            for name, score in scores.items():
                part = keep[start:start + score.numel()]
                masks[name] = torch.from_numpy(part.reshape(score.shape))
                start += score.numel()
            return masks
        """,
        """
        def global_mask(scores, sparsity, within):
            alive = torch.cat([scores[n][within[n]] for n in scores])
            total = sum(score.numel() for score in scores.values())
            to_go = round(sparsity * total) - (total - len(alive))
            cut = alive.sort().values[to_go]
            return {n: within[n] & (scores[n] >= cut) for n in scores}
        """,
    ],
    "pruning.csr_break_even": [
        """
        def csr_break_even(rows, columns, itemsize):
            # Where two straight lines meet: bytes of CSR at density 0 and 1 against dense.
            dense = rows * columns * itemsize
            empty, full = 4 * rows + 4, 4 * rows + 4 + rows * columns * (itemsize + 4)
            return 0.0 if dense < empty else (dense - empty) / (full - empty)
        """,
        """
        def csr_break_even(rows, columns, itemsize):
            def too_much(d):
                nnz = d * rows * columns
                return itemsize * nnz + 4 * nnz + 4 * (rows + 1) - rows * columns * itemsize
            low, high = 0.0, 1.0
            for _ in range(60):
                middle = (low + high) / 2
                low, high = (low, middle) if too_much(middle) > 0 else (middle, high)
            return low
        """,
        """
        def csr_break_even(rows, columns, itemsize):
            return torch.tensor(itemsize - 4 * (rows + 1) / (rows * columns),
                                dtype=torch.float64).clamp(min=0) / (itemsize + 4)
        """,
    ],
    "pruning.paired_interval": [
        """
        def paired_interval(pruned, dense, level):
            d = pruned - dense
            return d.mean(), *stats.t.interval(level, len(d) - 1, d.mean(), stats.sem(d))
        """,
        """
        def paired_interval(pruned, dense, level):
            d = [float(p) - float(q) for p, q in zip(pruned, dense)]
            mean = sum(d) / len(d)
            s = (sum((x - mean) ** 2 for x in d) / (len(d) - 1)) ** 0.5
            half = -stats.t.ppf((1 - level) / 2, df=len(d) - 1) * s / len(d) ** 0.5
            return [mean, mean - half, mean + half]
        """,
        """
        def paired_interval(pruned, dense, level):
            ends = stats.ttest_rel(pruned, dense).confidence_interval(level)
            return (ends.low + ends.high) / 2, ends.low, ends.high
        """,
        """
        def paired_interval(pruned, dense, level):
            d = torch.from_numpy(pruned) - torch.from_numpy(dense)
            half = stats.t.isf((1 - level) / 2, len(d) - 1) * d.std() / len(d) ** 0.5
            return d.mean(), d.mean() - half, d.mean() + half
        """,
    ],
    "pruning.prune_to_latency": [
        """
        def prune_to_latency(scores, latency, target):
            masks = [torch.ones(len(s), dtype=torch.bool) for s in scores]
            rest = sorted((s[i].item(), l, i) for l, s in enumerate(scores)
                          for i in range(len(s)) if i != s.argmax())
            for _, layer, i in rest:
                if latency([int(m.sum()) for m in masks]) <= target:
                    break
                masks[layer][i] = False
            return masks
        """,
        """
        def prune_to_latency(scores, latency, target):
            # All networks from the smallest on; the last one that fits.
            values = [s.tolist() for s in scores]
            neurons = [(v != max(row), -v, l, i) for l, row in enumerate(values)
                       for i, v in enumerate(row)]
            neurons.sort()
            kept, answer = [set() for _ in scores], None
            for _, _, layer, i in neurons:
                kept[layer].add(i)
                if all(kept) and latency([len(one) for one in kept]) <= target:
                    answer = [set(one) for one in kept]
            return [torch.tensor([i in one for i in range(len(row))])
                    for one, row in zip(answer, values)]
        """,
        """
        def prune_to_latency(scores, latency, target):
            others = np.sort(np.concatenate([np.delete(s.numpy(), s.argmax()) for s in scores]))
            for cut in (-np.inf, *others):
                masks = [(s > cut) | (s == s.max()) for s in scores]
                if latency([m.sum().item() for m in masks]) <= target:
                    return tuple(masks)
        """,
    ],
}

EQUIVALENT = {
    "pruning.csr_break_even": {
        "`return max(left_for_values / (n * (itemsize + 4)), 0.0)`": "the larger of two numbers "
        "does not depend on their order",
    },
    "pruning.prune_to_latency": {
        "`for n_kept in range(len(order), 1, -1):`": "the loop ends before: one neuron in each of "
        "two or more layers is always fast enough",
        "`for n_kept in range(len(order), -1, -1):`": "the loop ends before: one neuron in each "
        "layer is always fast enough",
    },
}
