"""What learners should not see at a glance: more wrong answers, right ones, and equivalent mutants.

As in `pruning.py` beside this file.
"""

IN_PLACE = "changed its input in place"

WRONG = {
    "tickets.rewind": [
        (
            """
            def rewind(snapshots, step, masks):
                return {n: v * masks[n] for n, v in snapshots[step].items() if n in masks}
            """,
            "You left out what has no mask",
        ),
        (
            """
            def rewind(snapshots, step, masks):
                return {n: v * masks[n] for n, v in snapshots[step].items()}
            """,
            "raised KeyError",
        ),
        (
            """
            def rewind(snapshots, step, masks):
                start = snapshots[step]
                for name, mask in masks.items():
                    start[name][~mask] = 0
                return start
            """,
            IN_PLACE,
        ),
        (
            """
            def rewind(snapshots, step, masks):
                start = dict(snapshots[step])
                for name, mask in masks.items():
                    start[name] = start[name][mask]
                return start
            """,
            "has the shape",
        ),
        (
            """
            def rewind(snapshots, step, masks):
                final = snapshots[max(snapshots)]
                return {n: torch.where(masks[n], v, 0.0) if n in masks else v
                        for n, v in final.items()}
            """,
            "You took the weights from the end of training",
        ),
        (
            """
            def rewind(snapshots, step, masks):
                return {n: v.masked_fill(masks.get(n, torch.zeros_like(v, dtype=torch.bool)), 0)
                        for n, v in snapshots[step].items()}
            """,
            "You kept what the mask prunes",
        ),
        (
            """
            def rewind(snapshots, step, masks):
                final = snapshots[max(snapshots)]
                return {n: torch.where(masks[n], final[n], v) if n in masks else v
                        for n, v in snapshots[step].items()}
            """,
            "has other values than expected",
        ),
    ],
    "tickets.random_masks": [
        (
            """
            def random_masks(masks, noise):
                return {n: torch.rand(m.shape) < m.float().mean() for n, m in masks.items()}
            """,
            "keep",  # how many is a matter of chance
        ),
        (
            """
            def random_masks(masks, noise):
                return {n: noise[n] < m.double().mean() for n, m in masks.items()}
            """,
            "counts in the mean only",
        ),
        (
            """
            def random_masks(masks, noise):
                found = {}
                for n, m in masks.items():
                    cut = noise[n].flatten().sort().values[m.sum() - 1]
                    found[n] = noise[n] <= cut
                return found
            """,
            "You kept the weights with the smallest numbers",
        ),
        (
            """
            def random_masks(masks, noise):
                n_kept = sum(int(m.sum()) for m in masks.values())
                flat = torch.cat([noise[n].flatten() for n in masks])
                keep = torch.zeros(len(flat), dtype=torch.bool)
                keep[flat.topk(n_kept).indices] = True
                parts = keep.split([m.numel() for m in masks.values()])
                return {n: p.view(masks[n].shape) for n, p in zip(masks, parts)}
            """,
            "You ranked the numbers of all layers together",
        ),
        (
            """
            def random_masks(masks, noise):
                return {n: m.flatten()[noise[n].flatten().argsort()].view(m.shape)
                        for n, m in masks.items()}
            """,
            "but not the right ones",
        ),
        (
            """
            def random_masks(masks, noise):
                for n, m in masks.items():
                    k = int(m.sum())
                    m[:] = False
                    m.view(-1)[noise[n].flatten().topk(k).indices] = True
                return masks
            """,
            IN_PLACE,
        ),
        (
            """
            def random_masks(masks, noise):
                return {n: noise[n].flatten().topk(int(m.sum())).indices
                        for n, m in masks.items()}
            """,
            "asked for is bool",
        ),
    ],
    "tickets.next_masks": [
        (
            """
            def next_masks(weights, masks, rate, output_rate):
                found = {}
                for i, (name, weight) in enumerate(weights.items()):
                    share = output_rate if i == len(weights) - 1 else rate
                    alive = weight[masks[name]].abs().sort().values
                    cut = alive[int(share * len(alive))]
                    found[name] = masks[name] & (weight.abs() >= cut)
                return found
            """,
            "int() rounds down",
        ),
        (
            """
            def next_masks(weights, masks, rate, output_rate):
                found = {}
                for i, (name, weight) in enumerate(weights.items()):
                    share = output_rate if i == len(weights) - 1 else rate
                    n = round(share * masks[name].sum().item())
                    found[name] = masks[name].clone()
                    found[name].view(-1)[weight.abs().flatten().argsort()[:n]] = False
                return found
            """,
            "The entry",  # some of the n are gone already
        ),
        (
            """
            def next_masks(weights, masks, rate, output_rate):
                found = {}
                for i, (name, weight) in enumerate(weights.items()):
                    share = output_rate if i == len(weights) - 1 else rate
                    score = weight.abs() * masks[name]
                    n = round(share * masks[name].sum().item())
                    found[name] = masks[name].clone()
                    found[name].view(-1)[score.flatten().argsort()[:n]] = False
                return found
            """,
            "keeps",  # zeros go once more
        ),
        (
            """
            def next_masks(weights, masks, rate, output_rate):
                found = masks
                for i, (name, weight) in enumerate(weights.items()):
                    share = output_rate if i == len(weights) - 1 else rate
                    score = weight.abs().masked_fill(~masks[name], torch.inf).flatten()
                    n = round(share * masks[name].sum().item())
                    found[name].view(-1)[score.argsort()[:n]] = False
                return found
            """,
            IN_PLACE,
        ),
        (
            """
            def next_masks(weights, masks, rate, output_rate):
                found = {}
                for i, (name, weight) in enumerate(weights.items()):
                    share = output_rate if i == 0 else rate
                    score = weight.abs().masked_fill(~masks[name], torch.inf).flatten()
                    n = round(share * masks[name].sum().item())
                    found[name] = masks[name].clone()
                    found[name].view(-1)[score.argsort()[:n]] = False
                return found
            """,
            "You gave `output_rate` to the first layer",
        ),
    ],
    "tickets.barrier": [
        (
            """
            def barrier(a, b, error, points):
                errors = [error({n: torch.lerp(a[n], b[n], float(t)) for n in a})
                          for t in np.linspace(0, 1, points)]
                return max(errors) - max(errors[0], errors[-1])
            """,
            "You took off the larger error",
        ),
        (
            """
            def barrier(a, b, error, points):
                errors = [error({n: torch.lerp(a[n], b[n], float(t)) for n in a})
                          for t in np.linspace(0, 1, points + 2)[1:-1]]
                return max(errors) - (error(a) + error(b)) / 2
            """,
            "The answer is",  # another grid
        ),
        (
            """
            def barrier(a, b, error, points):
                middle = {n: (a[n] + b[n]) / 2 for n in a}
                return error(middle) - (error(a) + error(b)) / 2
            """,
            "You measured the middle only",
        ),
        (
            """
            def barrier(a, b, error, points):
                errors = [error({n: torch.lerp(a[n], b[n], i / points) for n in a})
                          for i in range(points)]
                return max(errors) - (errors[0] + errors[-1]) / 2
            """,
            "Your line ends before b",
        ),
        (
            """
            def barrier(a, b, error, points):
                ea, eb = error(a), error(b)
                return max((1 - t) * ea + t * eb for t in np.linspace(0, 1, points)) - (ea + eb) / 2
            """,
            "You mixed the two errors",
        ),
        (
            """
            def barrier(a, b, error, points):
                step = {n: (b[n] - a[n]) / (points - 1) for n in a}
                errors = []
                for _ in range(points):
                    errors.append(error(a))
                    for n in a:
                        a[n] += step[n]
                return max(errors) - (errors[0] + errors[-1]) / 2
            """,
            IN_PLACE,
        ),
        (
            """
            def barrier(a, b, error, points):
                return max(error({n: torch.lerp(a[n], b[n], float(t)) for n in a})
                           for t in np.linspace(0, 1, points))
            """,
            "You returned the highest error",
        ),
    ],
    "tickets.find_ticket": [
        (
            """
            def find_ticket(start, train, rounds, rate):
                masks = {n: torch.ones_like(w, dtype=torch.bool) for n, w in start.items()}
                weights = start
                for _ in range(rounds):
                    weights = train(weights, masks)
                    for n, w in weights.items():
                        score = w.abs().masked_fill(~masks[n], torch.inf).flatten()
                        k = round(rate * masks[n].sum().item())
                        masks[n].view(-1)[score.argsort()[:k]] = False
                return masks, {n: w * masks[n] for n, w in weights.items()}
            """,
            "You trained on from the trained weights",
        ),
        (
            """
            def find_ticket(start, train, rounds, rate):
                masks = {n: torch.ones_like(w, dtype=torch.bool) for n, w in start.items()}
                trained = train(start, masks)
                for _ in range(rounds):
                    for n, w in trained.items():
                        score = w.abs().masked_fill(~masks[n], torch.inf).flatten()
                        k = round(rate * masks[n].sum().item())
                        masks[n].view(-1)[score.argsort()[:k]] = False
                return masks, {n: w * masks[n] for n, w in start.items()}
            """,
            "Every round of yours prunes by the same weights",
        ),
        (
            """
            def find_ticket(start, train, rounds, rate):
                masks = {n: torch.ones_like(w, dtype=torch.bool) for n, w in start.items()}
                for r in range(1, rounds + 1):
                    for n, w in train(start, masks).items():
                        k = round(rate * r * w.numel())
                        masks[n] = (w.abs().flatten().argsort().argsort() >= k).view(w.shape)
                return masks, {n: w * masks[n] for n, w in start.items()}
            """,
            "You took the share of all weights of a layer",
        ),
        (
            """
            def find_ticket(start, train, rounds, rate):
                masks = {n: torch.ones_like(w, dtype=torch.bool) for n, w in start.items()}
                for _ in range(rounds):
                    for n, w in train(start, masks).items():
                        k = round(rate * masks[n].sum().item())
                        masks[n].view(-1)[w.abs().flatten().argsort()[:k]] = False
                return masks, {n: w * masks[n] for n, w in start.items()}
            """,
            "keeps",  # the zeros of the first round go in each further one
        ),
        (
            """
            def find_ticket(start, train, rounds, rate):
                masks = {n: torch.ones_like(w, dtype=torch.bool) for n, w in start.items()}
                for _ in range(rounds):
                    for n, w in train(start, masks).items():
                        score = w.abs().masked_fill(~masks[n], torch.inf).flatten()
                        k = round(rate * masks[n].sum().item())
                        masks[n].view(-1)[score.argsort()[:k]] = False
                        start[n] *= masks[n]
                return masks, start
            """,
            IN_PLACE,
        ),
        (
            """
            def find_ticket(start, train, rounds, rate):
                masks = {n: torch.ones_like(w, dtype=torch.bool) for n, w in start.items()}
                for _ in range(rounds):
                    for n, w in train(start, masks).items():
                        score = w.abs().masked_fill(~masks[n], torch.inf).flatten()
                        k = round(rate * masks[n].sum().item())
                        masks[n].view(-1)[score.argsort()[:k]] = False
                return masks
            """,
            "asked for are 2 values",
        ),
        (
            """
            def find_ticket(start, train, rounds, rate):
                masks = {n: torch.ones_like(w) for n, w in start.items()}
                for _ in range(rounds):
                    for n, w in train(start, masks).items():
                        score = w.abs().masked_fill(masks[n] == 0, torch.inf).flatten()
                        k = round(rate * masks[n].sum().item())
                        masks[n].view(-1)[score.argsort()[:k]] = 0
                return masks, {n: w * masks[n] for n, w in start.items()}
            """,
            "has the dtype float64; asked for is bool",
        ),
    ],
}

RIGHT = {
    "tickets.rewind": [
        """
        def rewind(snapshots, step, masks):
            early = snapshots[step]
            return {n: v * masks[n] if n in masks else v for n, v in early.items()}
        """,
        """
        def rewind(snapshots, step, masks):
            start = {n: v.clone() for n, v in snapshots[step].items()}
            for name in masks:
                start[name][~masks[name]] = 0
            return start
        """,
        """
        def rewind(snapshots, step, masks):
            ones = torch.ones(1, dtype=torch.bool)
            return {n: torch.from_numpy(np.where(masks.get(n, ones), v, np.float32(0)))
                    for n, v in snapshots[step].items()}
        """,
    ],
    "tickets.random_masks": [
        """
        def random_masks(masks, noise):
            found = {}
            for name, mask in masks.items():
                cut = noise[name].flatten().sort(descending=True).values[mask.sum() - 1]
                found[name] = noise[name] >= cut
            return found
        """,
        """
        def random_masks(masks, noise):
            ranks = {n: (-noise[n]).flatten().argsort().argsort() for n in noise}
            return {n: (ranks[n] < m.sum()).reshape(m.shape) for n, m in masks.items()}
        """,
        """
        def random_masks(masks, noise):
            def one(mask, values):
                best = sorted(values.flatten().tolist())[-int(mask.sum()):]
                return torch.tensor([v in best for v in values.flatten().tolist()]).view(mask.shape)
            return {name: one(masks[name], noise[name]) for name in reversed(list(masks))}
        """,
    ],
    "tickets.next_masks": [
        """
        def next_masks(weights, masks, rate, output_rate):
            found, names = {}, list(weights)
            for name in names:
                alive = weights[name].abs()[masks[name]].sort().values
                n_gone = round((output_rate if name == names[-1] else rate) * len(alive))
                found[name] = masks[name] & (weights[name].abs() >= alive[n_gone])
            return found
        """,
        """
        def next_masks(weights, masks, rate, output_rate):
            rates = [rate] * (len(weights) - 1) + [output_rate]
            found = {}
            for share, (name, weight) in zip(rates, weights.items()):
                mask = masks[name].numpy().copy().ravel()
                places = np.flatnonzero(mask)
                order = np.argsort(np.abs(weight.numpy().ravel()[places]))
                mask[places[order[: round(share * len(places))]]] = False
                found[name] = torch.from_numpy(mask.reshape(weight.shape))
            return found
        """,
    ],
    "tickets.barrier": [
        """
        def barrier(a, b, error, points):
            line = np.linspace(0, 1, points)
            errors = [error({n: torch.lerp(a[n], b[n], float(t)) for n in a}) for t in line]
            return np.max(errors) - np.mean([errors[0], errors[-1]])
        """,
        """
        def barrier(a, b, error, points):
            def mean(t):
                return {n: a[n] + t * (b[n] - a[n]) for n in b}
            inner = [error(mean(t)) for t in torch.linspace(0, 1, points).double()[1:-1]]
            ends = error(a), error(b)
            return torch.tensor(max(*inner, *ends) - sum(ends) / 2, dtype=torch.float64)
        """,
    ],
    "tickets.find_ticket": [
        """
        def find_ticket(start, train, rounds, rate):
            def smaller(weight, mask):
                alive = weight.abs()[mask].sort().values
                return mask & (weight.abs() >= alive[round(rate * len(alive))])
            masks = {n: torch.ones(w.shape, dtype=torch.bool) for n, w in start.items()}
            for _ in range(rounds):
                rewound = {n: torch.where(masks[n], w, 0.0) for n, w in start.items()}
                trained = train(rewound, masks)
                masks = {n: smaller(trained[n], masks[n]) for n in masks}
            return masks, {n: torch.where(masks[n], w, 0.0) for n, w in start.items()}
        """,
        """
        def find_ticket(start, train, rounds, rate):
            left = {n: w.numel() for n, w in start.items()}
            masks = {n: torch.ones_like(w).bool() for n, w in start.items()}
            while rounds:
                for n, w in train({n: w.clone() for n, w in start.items()}, masks).items():
                    left[n] -= round(rate * left[n])
                    best = w.abs().flatten().argsort(descending=True)[: left[n]]
                    masks[n] = torch.zeros(w.numel(), dtype=torch.bool)
                    masks[n][best] = True
                    masks[n] = masks[n].view(w.shape)
                rounds -= 1
            return [masks, {n: w.masked_fill(~masks[n], 0) for n, w in start.items()}]
        """,
    ],
}

EQUIVALENT = {
    "tickets.next_masks": {
        "`output = list(masks)[-1]`": "masks and weights name the same layers in one order",
    },
    "tickets.barrier": {
        "`errors.append(error({name: (1 - alpha) * a[name] + alpha * b[name] for name in b}))`": (
            "a and b have the same names"
        ),
    },
}
