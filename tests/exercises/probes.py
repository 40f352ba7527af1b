"""What learners should not see at a glance: more wrong answers, right ones, and equivalent mutants.

`WRONG` holds answers as people write them, each with the message that must come. Most make a
mistake that the exercise knows, in other words than it does. `RIGHT` holds right answers of
another style than the reference. `EQUIVALENT` names mutants that give the right answer, and why.
"""

IN_PLACE = "changed its input in place"

WRONG = {
    "probes.hoyer": [
        (
            """
            def hoyer(h):
                root = h.shape[-1] ** 0.5
                return (root - h.abs().sum(-1) / h.norm(dim=-1)) / (root - 1)
            """,
            "The answer holds NaN",
        ),
        (
            """
            def hoyer(h):
                d = h.shape[-1]
                if d == 1:
                    return torch.zeros(h.shape[:-1])
                return (d ** 0.5 - h.sum(-1) / h.norm(dim=-1)) / (d ** 0.5 - 1)
            """,
            "with their signs",
        ),
        (
            """
            def hoyer(h):
                d = h.shape[-1]
                if d == 1:
                    return torch.zeros(h.shape[:-1])
                return (d - h.norm(p=1, dim=-1) / h.norm(dim=-1)) / (d - 1)
            """,
            "where √d is asked for",
        ),
        (
            """
            def hoyer(h):
                d = h.shape[-1]
                if d == 1:
                    return torch.zeros(h.shape[:-1])
                return (d ** 0.5 - h.norm(p=1, dim=-1) / (h * h).sum(-1)) / (d ** 0.5 - 1)
            """,
            "The root is missing",
        ),
        (
            """
            def hoyer(h):
                d = h.numel()
                if d == 1:
                    return torch.tensor(0.0)
                return (d ** 0.5 - h.abs().sum() / h.norm()) / (d ** 0.5 - 1)
            """,
            "all entries of the tensor for one vector",
        ),
        (
            """
            def hoyer(h):
                h.abs_()
                d = h.shape[-1]
                if d == 1:
                    return torch.zeros(h.shape[:-1])
                return (d ** 0.5 - h.sum(-1) / h.norm(dim=-1)) / (d ** 0.5 - 1)
            """,
            IN_PLACE,
        ),
        (
            """
            def hoyer(h):
                n, d = h.shape
                return (d ** 0.5 - h.abs().sum(1) / h.norm(dim=1)) / (d ** 0.5 - 1)
            """,
            "too many values to unpack",
        ),
        (
            """
            def hoyer(h):
                d = torch.count_nonzero(h, dim=-1)
                ratio = h.abs().sum(-1) / h.norm(dim=-1)
                return torch.nan_to_num((d ** 0.5 - ratio) / (d ** 0.5 - 1), 0, 0, 0)
            """,
            "only the entries that are not zero",
        ),
        (
            """
            def hoyer(h):
                d = h.shape[-1]
                if d == 1:
                    return torch.zeros(h.shape[:-1])
                l1, l2 = h.abs().sum(-1, keepdim=True), h.norm(dim=-1, keepdim=True)
                return (d ** 0.5 - l1 / l2) / (d ** 0.5 - 1)
            """,
            "has the shape (6, 1); asked for is the shape (6,)",
        ),
    ],
    "probes.excess": [
        (
            """
            def excess(h, mean, std, activation, z):
                from course_lib import probes
                null = torch.addcmul(mean, std, z)
                return float(probes.hoyer(h).mean() - probes.hoyer(null).mean())
            """,
            "without the activation function",
        ),
        (
            """
            def excess(h, mean, std, activation, z):
                from course_lib import probes
                null = activation(z)
                return float(probes.hoyer(h).mean() - probes.hoyer(null).mean())
            """,
            "mean 0 and standard deviation 1",
        ),
        (
            """
            def excess(h, mean, std, activation, z):
                from course_lib import probes
                null = activation(z * std[None])
                return float(probes.hoyer(h).mean() - probes.hoyer(null).mean())
            """,
            "You forgot the mean",
        ),
        (
            """
            def excess(h, mean, std, activation, z):
                from course_lib import probes
                null = activation(mean + z * std * std)
                return float(probes.hoyer(h).mean() - probes.hoyer(null).mean())
            """,
            "You multiplied by the variance",
        ),
        (
            """
            def excess(h, mean, std, activation, z):
                from course_lib import probes
                null = activation(torch.normal(mean.expand(z.shape), std.expand(z.shape)))
                return float(probes.hoyer(h).mean() - probes.hoyer(null).mean())
            """,
            "The answer is ",
        ),
        (
            """
            def excess(h, mean, std, activation, z):
                from course_lib import probes
                null = activation(z * h.std(dim=0) + h.mean(dim=0))
                return float(probes.hoyer(h).mean() - probes.hoyer(null).mean())
            """,
            "applied the activation function once more",
        ),
        (
            """
            def excess(h, mean, std, activation, z):
                from course_lib import probes
                null = (z - z.mean(0)) / z.std(0) * h.std(0) + h.mean(0)
                return float(probes.hoyer(h).mean() - probes.hoyer(null).mean())
            """,
            "The answer is ",
        ),
        (
            """
            def excess(h, mean, std, activation, z):
                from course_lib import probes
                null = h.std(0) * z + h.mean(0)
                return float(probes.hoyer(h).mean() - probes.hoyer(null).mean())
            """,
            "Match them before it",
        ),
        (
            """
            def excess(h, mean, std, activation, z):
                from course_lib import probes
                null = activation(mean + std * z)
                return probes.hoyer(h.mean(dim=0)) - probes.hoyer(null.mean(dim=0))
            """,
            "Hoyer of the mean vector",
        ),
        (
            """
            def excess(h, mean, std, activation, z):
                from course_lib import probes
                null = activation(mean + std * z)
                return (probes.hoyer(null).mean() - probes.hoyer(h).mean()).item()
            """,
            "The sign is turned round",
        ),
        (
            """
            def excess(h, mean, std, activation, z):
                from course_lib import probes
                null = activation(mean + std * z)
                return (probes.hoyer(null).mean() - probes.hoyer(h).mean()).abs()
            """,
            "You dropped the sign",
        ),
        (
            """
            def excess(h, mean, std, activation, z):
                from course_lib import probes
                null = activation(mean + std * z)
                return probes.hoyer(h) - probes.hoyer(null).mean()
            """,
            "a tensor of shape",
        ),
        (
            """
            def excess(h, mean, std, activation, z):
                z.mul_(std).add_(mean)
                def one(v):
                    root = v.shape[1] ** 0.5
                    return ((root - v.norm(p=1, dim=1) / v.norm(dim=1)) / (root - 1)).mean()
                return one(h) - one(activation(z))
            """,
            IN_PLACE,
        ),
        (
            """
            def excess(h, mean, std, activation, z):
                def one(v):
                    root = v.numel() ** 0.5
                    return (root - v.abs().sum() / v.norm()) / (root - 1)
                return one(h) - one(activation(mean + std * z))
            """,
            "all entries together",
        ),
    ],
    "probes.disagree": [
        (
            """
            def disagree(h):
                return h
            """,
            "say the same",
        ),
        (
            """
            def disagree(h):
                vector = h.clone()
                vector[h.argmax()] *= 2
                return vector
            """,
            "Both metrics call your vector sparser",
        ),
        (
            """
            def disagree(h):
                return h.sqrt()
            """,
            "Both metrics call your vector less sparse",
        ),
        (
            """
            def disagree(h):
                def gini(v):
                    return float((v[:, None] - v).abs().sum() / (2 * len(v) * v.sum()))
                ramp = torch.arange(len(h), 0, -1).double()
                low, high = -1000.0, len(h) - 1.5
                for _ in range(60):
                    shift = (low + high) / 2
                    enough = gini((ramp - shift).clamp(min=0)) > gini(h) + 1e-3
                    low, high = (low, shift) if enough else (shift, high)
                return (ramp - high).clamp(min=0).float()
            """,
            "It is the other way round",
        ),
        (
            """
            def disagree(h):
                return torch.cat([h, h])
            """,
            "as many entries as h",
        ),
        (
            """
            def disagree(h):
                return torch.zeros(len(h))
            """,
            "some that are not zero",
        ),
        (
            """
            def disagree(h):
                return [1.0] * len(h)
            """,
            "asked for is a tensor",
        ),
        (
            """
            def disagree(h):
                h[0] = 100
                return h
            """,
            IN_PLACE,
        ),
        (
            """
            def disagree(h):
                print(h)
            """,
            "Is a `return` missing?",
        ),
    ],
    "probes.noise_dial": [
        (
            """
            def noise_dial(x, noise, strength):
                unit = noise / noise.norm(dim=-1, keepdim=True)
                return x + strength * x.norm(dim=-1, keepdim=True) * unit
            """,
            "You did not clip",
        ),
        (
            """
            def noise_dial(x, noise, strength):
                return torch.clip(x + noise * strength, 0, 1)
            """,
            "the noise as it is",
        ),
        (
            """
            def noise_dial(x, noise, strength):
                unit = torch.nn.functional.normalize(noise, dim=1)
                return torch.clip(x + unit * strength, 0, 1)
            """,
            "Dark images get too much",
        ),
        (
            """
            def noise_dial(x, noise, strength):
                noise = noise / noise.norm()
                return torch.clip(x + noise * strength * x.norm(), 0, 1)
            """,
            "all images together",
        ),
        (
            """
            def noise_dial(x, noise, strength):
                unit = torch.nn.functional.normalize(noise, dim=1)
                x += strength * x.norm(dim=1, keepdim=True) * unit
                return x.clamp(0, 1)
            """,
            IN_PLACE,
        ),
        (
            """
            def noise_dial(x, noise, strength):
                unit = torch.nn.functional.normalize(noise, dim=1)
                return torch.relu(x + strength * x.norm(dim=1, keepdim=True) * unit)
            """,
            "clipped at 0 only",
        ),
        (
            """
            def noise_dial(x, noise, strength):
                own = torch.randn(x.shape)
                return (x + strength * own * x.norm(dim=1, keepdim=True)).clamp(0, 1)
            """,
            "has other values than expected",
        ),
    ],
    "probes.beat_the_softmax": [
        (
            """
            def beat_the_softmax(validation, test, weights):
                def auroc(items, w):
                    s = items["softmax"] + w * items["sparsity"]
                    a, b = s[~items["wrong"]], s[items["wrong"]]
                    return (a.unsqueeze(1) > b.unsqueeze(0)).float().mean().item()
                return max(auroc(test, w) for w in weights) - auroc(test, 0)
            """,
            "You chose the weight on test",
        ),
        (
            """
            def beat_the_softmax(validation, test, weights):
                def auroc(items, w):
                    s = items["softmax"] + w * items["sparsity"]
                    a, b = s[~items["wrong"]], s[items["wrong"]]
                    return (a.unsqueeze(1) > b.unsqueeze(0)).float().mean().item()
                return max(auroc(validation, w) for w in weights) - auroc(validation, 0)
            """,
            "Measure it on test",
        ),
        (
            """
            def beat_the_softmax(validation, test, weights):
                def auroc(items, w):
                    s = items["softmax"] + w * items["sparsity"]
                    a, b = s[~items["wrong"]], s[items["wrong"]]
                    return (a.unsqueeze(1) > b.unsqueeze(0)).double().mean().item()
                areas = [auroc(validation, w) for w in weights]
                return auroc(test, weights[areas.index(max(areas))])
            """,
            "You returned the mixture's AUROC",
        ),
        (
            """
            def beat_the_softmax(validation, test, weights):
                def auroc(items, w):
                    s = items["softmax"] + w * items["sparsity"]
                    a, b = s[~items["wrong"]], s[items["wrong"]]
                    return (a.unsqueeze(1) > b.unsqueeze(0)).double().mean().item()
                areas = [auroc(validation, w) for w in weights]
                return auroc(test, weights[areas.index(max(areas))]) - 1 / 2
            """,
            "compared the mixture with chance",
        ),
        (
            """
            def beat_the_softmax(validation, test, weights):
                def auroc(items, w):
                    s = items["softmax"] + w * items["sparsity"]
                    a, b = s[~items["wrong"]], s[items["wrong"]]
                    return (a.unsqueeze(1) < b.unsqueeze(0)).double().mean().item()
                areas = [auroc(validation, w) for w in weights]
                return auroc(test, weights[areas.index(min(areas))]) - auroc(test, 0)
            """,
            "The sign is turned round",
        ),
        (
            """
            def beat_the_softmax(validation, test, weights):
                return 0.1
            """,
            "The answer is 0.1",
        ),
        (
            """
            def beat_the_softmax(validation, test, weights):
                from course_lib import probes
                def auroc(items, w):
                    s = items["softmax"] + w * items["sparsity"]
                    return probes.auroc(s[~items["wrong"]], s[items["wrong"]]).estimate
                w = max(weights, key=lambda w: auroc(validation, w))
                return max(auroc(test, w) - auroc(test, 0), 0)
            """,
            "You put 0 where the mixture loses",
        ),
    ],
    "probes.harder_of_two": [
        (
            """
            def harder_of_two(level, sparsity):
                def share(items):
                    items, won, n = list(items), 0, 0
                    for i, (l, s) in enumerate(items):
                        for m, t in items[i + 1:]:
                            if l != m:
                                n += 1
                                won += (s > t) == (l > m) and s != t
                    return won / n
                levels = level.unique()
                means = [sparsity[level == one].mean().item() for one in levels]
                return share(zip(level.tolist(), sparsity.tolist())), share(
                    zip(levels.tolist(), means)
                )
            """,
            "You counted ties as lost",
        ),
        (
            """
            def harder_of_two(level, sparsity):
                def share(x, y):
                    higher = x.unsqueeze(1) > x.unsqueeze(0)
                    larger = y.unsqueeze(1) >= y.unsqueeze(0)
                    return (higher & larger).sum().item() / higher.sum().item()
                levels = level.unique()
                means = torch.tensor([sparsity[level == one].mean() for one in levels])
                return share(level, sparsity), share(levels, means)
            """,
            "You counted ties as won",
        ),
        (
            """
            def harder_of_two(level, sparsity):
                def share(x, y):
                    x, y = np.sign(np.subtract.outer(x, x)), np.sign(np.subtract.outer(y, y))
                    return (x * y > 0).sum() / (x * y != 0).sum()
                levels, inverse = np.unique(level.numpy(), return_inverse=True)
                means = np.bincount(inverse, sparsity.numpy()) / np.bincount(inverse)
                return share(level.numpy(), sparsity.numpy()), share(levels, means)
            """,
            "You left the ties out",
        ),
        (
            """
            def harder_of_two(level, sparsity):
                def share(x, y):
                    s = torch.sign(y[:, None] - y)[x[:, None] > x].double()
                    return s.mean().item()
                levels = sorted(set(level.tolist()))
                means = torch.stack([sparsity[level == one].mean() for one in levels])
                return share(level, sparsity), share(torch.tensor(levels), means)
            """,
            "which is 0 for guessing",
        ),
        (
            """
            def harder_of_two(level, sparsity):
                def share(x, y):
                    won = (y[:, None] > y).double() + (y[:, None] == y).double() / 2
                    won = won * (x[:, None] > x)
                    return won.triu(1).sum().item() / n + won.tril(-1).sum().item() / n
                n = len(level) * (len(level) - 1) / 2
                items = share(level, sparsity)
                levels = level.unique()
                n = len(levels) * (len(levels) - 1) / 2
                return items, share(levels, torch.stack(
                    [sparsity[level == one].mean() for one in levels]
                ))
            """,
            "You divided by all pairs",
        ),
        (
            """
            def harder_of_two(level, sparsity):
                import pandas as pd
                def share(x, y):
                    d = y[:, None] - y[None]
                    return ((np.sign(d) + 1) / 2)[x[:, None] > x[None]].mean()
                rows = pd.DataFrame({"x": level.numpy(), "y": sparsity.numpy()})
                middle = rows.groupby("x").y.median()
                items, levels = rows[["x", "y"]].values.T, (middle.index.values, middle.values)
                return share(*items), share(*levels)
            """,
            "You took the median",
        ),
        (
            """
            def harder_of_two(level, sparsity):
                from course_lib import probes
                def share(x, y):
                    d = y[:, None] - y[None]
                    return ((np.sign(d) + 1) / 2)[x[:, None] > x[None]].mean()
                x, y = level.numpy(), sparsity.numpy()
                means = probes.bin_means(x, y, bins=len(set(x)))
                return share(x, y), share(np.arange(len(means)), means.y.values)
            """,
            "bins of equally many items",
        ),
        (
            """
            def harder_of_two(level, sparsity):
                def share(x, y):
                    d = y[:, None] - y
                    return ((d.sign() + 1) / 2)[x[:, None] < x].mean().item()
                levels = level.unique()
                means = torch.stack([sparsity[level == one].mean() for one in levels])
                return share(level, sparsity), share(levels, means)
            """,
            "The direction is turned round",
        ),
        (
            """
            def harder_of_two(level, sparsity):
                def share(x, y):
                    d = y[:, None] - y
                    return ((d.sign() + 1) / 2)[x[:, None] > x].mean().item()
                means = sparsity.clone()
                for one in level:
                    means[level == one] = sparsity[level == one].mean()
                return share(level, sparsity), share(level, means)
            """,
            "Each pair of levels counts once",
        ),
        (
            """
            def harder_of_two(level, sparsity):
                def share(x, y):
                    sparser = (y[:, None] > y).double() + 0.5 * (y[:, None] == y)
                    return sparser[x[:, None] > x].mean().item()
                counts = torch.bincount(level)[level.min():]
                means = torch.bincount(level, sparsity)[level.min():] / counts
                return share(level, sparsity), share(torch.arange(len(means)), means)
            """,
            "You went through all numbers from the lowest level",
        ),
        (
            """
            def harder_of_two(level, sparsity):
                levels = level.unique()
                means = [sparsity[level == one].mean().item() for one in levels]
                return (
                    stats.spearmanr(level, sparsity).statistic,
                    stats.spearmanr(levels, means).statistic,
                )
            """,
            "Entry 1 of the answer is",
        ),
        (
            """
            def harder_of_two(level, sparsity):
                d = sparsity[:, None] - sparsity
                return ((d.sign() + 1) / 2)[level[:, None] > level].mean().item()
            """,
            "asked for are 2 values",
        ),
    ],
}

RIGHT = {
    "probes.hoyer": [
        """
        def hoyer(h):
            d = h.shape[-1]
            if d == 1:
                return h[..., 0] * 0
            return (1 - h.norm(p=1, dim=-1) / (h.norm(dim=-1) * d ** 0.5)) / (1 - d ** -0.5)
        """,
        """
        def hoyer(h):
            rows = h.reshape(-1, h.shape[-1]).tolist()
            values = []
            for row in rows:
                root = len(row) ** 0.5
                l1, l2 = sum(abs(v) for v in row), sum(v * v for v in row) ** 0.5
                values.append((root - l1 / l2) / (root - 1) if len(row) > 1 else 0.0)
            return torch.tensor(values).reshape(h.shape[:-1])
        """,
        """
        def hoyer(h):
            h, d = h.numpy(), h.shape[-1]
            ratio = np.linalg.norm(h, 1, axis=-1) / np.linalg.norm(h, axis=-1) if h.ndim < 3 else (
                np.abs(h).sum(-1) / np.sqrt((h ** 2).sum(-1)))
            root = np.sqrt(d)
            values = (root - ratio) / max(root - 1, 1e-300) if d > 1 else 0 * ratio
            return torch.from_numpy(np.asarray(values, dtype=np.float32))
        """,
        """
        def hoyer(h):
            from course_lib import probes
            return probes.hoyer(h)  # in double precision
        """,
        """
        def hoyer(h):
            if h.ndim > 1:
                return torch.stack([hoyer(one) for one in h])
            root = len(h) ** 0.5
            value = (root - float(h.abs().sum() / h.norm())) / (root - 1) if root > 1 else 0.0
            return torch.tensor(value)
        """,
    ],
    "probes.excess": [
        """
        def excess(h, mean, std, activation, z):
            from course_lib import probes
            null = activation(torch.addcmul(mean, z, std))
            return probes.hoyer(h).mean() - probes.hoyer(null).mean()  # in double precision
        """,
        """
        def excess(h, mean, std, activation, z):
            values = {True: [], False: []}
            for row in [*h, *z]:
                given = len(values[True]) < len(h)
                vector = (row if given else activation(row * std + mean)).tolist()
                root = len(vector) ** 0.5
                l1, l2 = sum(map(abs, vector)), sum(v * v for v in vector) ** 0.5
                values[given].append((root - l1 / l2) / (root - 1))
            return sum(values[True]) / len(h) - sum(values[False]) / len(z)
        """,
        """
        def excess(h, mean, std, activation, z):
            null = activation(z @ torch.diag(std) + mean.repeat(len(z), 1))
            both = torch.nn.functional.normalize(torch.cat([h, null]), dim=1).abs().sum(1).numpy()
            ratio = both[len(h):].mean() - both[: len(h)].mean()  # what √d adds cancels
            return ratio / (np.sqrt(h.shape[1]) - 1)
        """,
    ],
    "probes.disagree": [
        """
        def disagree(h):
            def gini(v):
                return float((v[:, None] - v).abs().sum() / (2 * len(v) * v.sum()))
            vector = torch.ones(len(h))
            while gini(vector) < gini(h):
                vector[3] += 0.1
            vector[3] -= 0.2
            return vector
        """,
        """
        def disagree(h):
            # Only the largest differs; the others share alike what they have, and it grows.
            v = torch.full_like(h, float((h.sum() - h.max()) / (len(h) - 1))).double()
            where = int(h.argmax())
            def gini(v):
                return float((v[:, None] - v).abs().sum() / (2 * len(v) * v.sum()))
            low, high = 1.0, 1e6
            for _ in range(60):
                middle = (low + high) / 2
                v[where] = middle * float(h.mean())
                low, high = (middle, high) if gini(v) < gini(h.double()) - 1e-3 else (low, middle)
            v[where] = low * float(h.mean())
            return -v
        """,
    ],
    "probes.noise_dial": [
        """
        def noise_dial(x, noise, strength):
            rows = []
            for image, direction in zip(x, noise):
                step = direction / direction.norm() * image.norm() * strength
                rows.append(torch.clip(image + step, 0, 1))
            return torch.stack(rows)
        """,
        """
        def noise_dial(x, noise, strength):
            unit = torch.nn.functional.normalize(noise, dim=1)
            lengths = torch.sqrt((x ** 2).sum(1))
            moved = x + strength * torch.einsum("n,nd->nd", lengths, unit)
            return torch.minimum(torch.maximum(moved, torch.zeros(())), torch.ones(()))
        """,
        """
        def noise_dial(x, noise, strength):
            if strength == 0:
                return x
            x, noise = x.double(), noise.double()
            ratio = (x.pow(2).sum(1) / noise.pow(2).sum(1)).sqrt()
            return torch.clip(x + strength * torch.diag(ratio) @ noise, min=0, max=1)
        """,
    ],
    "probes.beat_the_softmax": [
        """
        def beat_the_softmax(validation, test, weights):
            def auroc(items, w):
                s = (items["softmax"] + w * items["sparsity"]).numpy()
                wrong = items["wrong"].numpy()
                ranks = s.argsort().argsort() + 1
                n, m = (~wrong).sum(), wrong.sum()
                return (ranks[~wrong].sum() - n * (n + 1) / 2) / (n * m)
            areas = [auroc(validation, w) for w in weights]
            return auroc(test, weights[int(np.argmax(areas))]) - auroc(test, 0.0)
        """,
        """
        def beat_the_softmax(validation, test, weights):
            def auroc(items, w):
                s = (items["softmax"] + w * items["sparsity"]).tolist()
                right = [a for a, bad in zip(s, items["wrong"].tolist()) if not bad]
                wrong = [a for a, bad in zip(s, items["wrong"].tolist()) if bad]
                return sum(a > b for a in right for b in wrong) / len(right) / len(wrong)
            best = sorted(weights, key=lambda w: auroc(validation, w))[-1]
            return torch.tensor(auroc(test, best) - auroc(test, 0), dtype=torch.float64)
        """,
        """
        def beat_the_softmax(validation, test, weights):
            from sklearn.metrics import roc_auc_score
            def auroc(items, w):
                signal = items["softmax"] + w * items["sparsity"]
                return roc_auc_score((~items["wrong"]).numpy(), signal.numpy())
            best = max(weights, key=lambda w: auroc(validation, w))
            return auroc(test, best) - auroc(test, 0)
        """,
    ],
    "probes.harder_of_two": [
        """
        def harder_of_two(level, sparsity):
            # The AUROC of each pair of levels, weighted by its pairs of items.
            from course_lib import probes
            groups = [sparsity[level == one].tolist() for one in sorted(set(level.tolist()))]
            means = [sum(group) / len(group) for group in groups]
            won = pairs = above = n = 0
            for i, low in enumerate(groups):
                for j in range(i + 1, len(groups)):
                    high = groups[j]
                    won += probes.auroc(high, low).estimate * len(high) * len(low)
                    pairs += len(high) * len(low)
                    above += means[j] > means[i]
                    n += 1
            return won / pairs, above / n
        """,
        """
        def harder_of_two(level, sparsity):
            import pandas as pd
            def share(x, y):
                won = [
                    (b > a) + (b == a) / 2
                    for i, a in zip(x, y)
                    for j, b in zip(x, y)
                    if j > i
                ]
                return np.mean(won)
            rows = pd.DataFrame({"x": level.numpy(), "y": sparsity.numpy()})
            means = rows.groupby("x").y.mean()
            return [share(rows.x, rows.y), share(means.index, means)]
        """,
        """
        def harder_of_two(level, sparsity):
            # Somers' D is won minus lost, over the pairs that differ in the first.
            levels, place = level.unique(return_inverse=True)
            means = torch.bincount(place, sparsity) / torch.bincount(place)
            return tuple(
                torch.tensor((stats.somersd(x.numpy(), y.numpy()).statistic + 1) / 2)
                for x, y in ((level, sparsity), (levels, means))
            )
        """,
    ],
}

ANOTHER = "another vector that is right: its large entry is a little smaller still"
EQUIVALENT = {
    "probes.disagree": {
        "`weight = d - torch.arange(d) + 0.5`": ANOTHER,
        "`weight = d - torch.arange(d) - -0.5`": ANOTHER,
        "`equal = (d - 1) * (1 + d * gini) // (d - 1 - d * gini)`": ANOTHER,
        "`equal = (d - 1) * (1 + d * gini) / (d + 1 - d * gini)`": ANOTHER,
        "`equal = (d - 2) * (1 + d * gini) / (d - 1 - d * gini)`": ANOTHER,
        "`equal = (d - 1) * (0 + d * gini) / (d - 1 - d * gini)`": ANOTHER,
        "`equal = (d - 1) * (1 + d * gini) / (d - 0 - d * gini)`": ANOTHER,
        "`equal = (d - 1) * (1 - d * gini) / (d - 1 - d * gini)`": "the large entry is negative "
        "and a little smaller; only its size counts",
        "`equal = (1 - d) * (1 + d * gini) / (d - 1 - d * gini)`": "the large entry is negative; "
        "only its size counts",
        "`equal = (d - 1) * (1 + d * gini) / (d * gini - (d - 1))`": "the large entry is negative; "
        "only its size counts",
        "`vector[1] = 0.97 * equal`": "which entry is the large one does not matter",
        "`vector[-1] = 0.97 * equal`": "which entry is the large one does not matter",
    },
    "probes.excess": {
        "`return ((root - ratio) / (root - 1)).mean()`": "a tensor of one entry counts as a number",
    },
    "probes.beat_the_softmax": {
        "`return (right[:, None] > wrong).double().mean()`": "a tensor of one entry counts as a "
        "number",
        "`return (right[:, None] >= wrong).double().mean().item()`": "no two signals are equal",
    },
    "probes.harder_of_two": {
        "`return (share(level, sparsity), share(means, levels))`": "no two levels have the same "
        "mean: of two levels the sparser is the harder one as often as the harder is the sparser",
    },
}
