"""What learners should not see at a glance; see pruning.py beside this."""

IN_PLACE = "changed its input in place"

WRONG = {
    "superposition.toy_loss": [
        (
            """
            def toy_loss(W, b, x, importance):
                hidden = torch.einsum("mn,bn->bm", W, x)
                out = torch.einsum("mn,bm->bn", W, hidden) + b
                return (importance * (x - out).square()).sum(-1).mean()
            """,
            "You left out the ReLU at the output",
        ),
        (
            """
            def toy_loss(W, b, x, importance):
                error = torch.relu(x @ W.T @ W + b) - x
                return torch.nn.functional.mse_loss(importance.sqrt() * error,
                                                    torch.zeros_like(error))
            """,
            "You took the mean over the features too",
        ),
        (
            """
            def toy_loss(W, b, x, importance):
                total = 0.0
                for row in x:
                    out = torch.relu(W.T @ (W @ row) + b)
                    total += float((importance * (row - out) ** 2).sum())
                return total
            """,
            "You added up the inputs",
        ),
        (
            """
            def toy_loss(W, b, x, importance):
                hidden = torch.relu(x @ W.T)
                out = torch.relu(hidden @ W + b)
                return (importance * (x - out) ** 2).sum(1).mean()
            """,
            "You put a ReLU on the hidden layer too",
        ),
        (
            """
            def toy_loss(W, b, x, importance):
                x -= (x @ W.T @ W + b).relu()
                return (importance * x ** 2).sum(1).mean()
            """,
            IN_PLACE,
        ),
        (
            """
            def toy_loss(W, b, x, importance):
                out = (W.T @ W @ x + b).relu()
                return (importance * (x - out) ** 2).sum(1).mean()
            """,
            "raised RuntimeError",
        ),
        (
            """
            def toy_loss(W, b, x, importance):
                error = ((x @ W.T @ W + b).relu() - x) ** 2
                return (error @ importance).mean().sqrt()
            """,
            "The answer is",
        ),
    ],
    "superposition.dimensionality": [
        (
            """
            def dimensionality(W):
                unit = torch.nn.functional.normalize(W, dim=0)
                seen = (unit.T @ W).square()
                seen.fill_diagonal_(0)
                return W.square().sum(0) / seen.sum(1)
            """,
            "You left out j = i",
        ),
        (
            """
            def dimensionality(W):
                unit = torch.nn.functional.normalize(W)
                return W.square().sum(0) / (unit.T @ W).square().sum(1)
            """,
            "other values than expected",
        ),
        (
            """
            def dimensionality(W):
                unit = torch.nn.functional.normalize(W, dim=0)
                return W.square().sum(0) / (unit.T @ W).square().sum(0)
            """,
            "You divided by ‖W_j‖",
        ),
        (
            """
            def dimensionality(W):
                D = []
                for i in range(W.shape[1]):
                    hat = W[:, i] / W[:, i].norm()
                    D.append(W[:, i].norm() / sum((hat @ W[:, j]) ** 2 for j in range(W.shape[1])))
                return torch.stack(D)
            """,
            "You took ‖W_i‖ above the line",
        ),
        (
            """
            def dimensionality(W):
                norms = W.square().sum(0)
                W /= norms.sqrt()
                return norms / (W.T @ W).square().sum(1)
            """,
            IN_PLACE,
        ),
        (
            """
            def dimensionality(W):
                gram = (W.T @ W).square()
                return W.square().sum(0) / gram.sum(1)
            """,
            "You did not divide by the norm",
        ),
        (
            """
            def dimensionality(W):
                hat = W / W.norm(dim=0)
                return [float(W[:, i] @ W[:, i] / (hat[:, i] @ W).square().sum())
                        for i in range(W.shape[1])]
            """,
            "asked for is a tensor",
        ),
    ],
    "superposition.keep_largest": [
        (
            """
            def keep_largest(W, nonzeros, least):
                order = W.abs().flatten().argsort(descending=True)
                out = torch.zeros(W.numel())
                out[order[:nonzeros]] = W.flatten()[order[:nonzeros]]
                return out.view(W.shape)
            """,
            "You left out the least number of each row",
        ),
        (
            """
            def keep_largest(W, nonzeros, least):
                cut = W.abs().flatten().sort(descending=True).values[nonzeros - 1]
                keep = W.abs() >= cut
                for k, row in enumerate(W.abs()):
                    keep[k, row.argsort(descending=True)[:least]] = True
                return torch.where(keep, W, 0.0)
            """,
            "So more stay than",
        ),
        (
            """
            def keep_largest(W, nonzeros, least):
                scores = W.clone()
                scores.scatter_(1, W.topk(least, dim=1).indices, torch.inf)
                places = scores.flatten().topk(nonzeros).indices
                mask = torch.zeros(W.numel())
                mask[places] = 1
                return W * mask.view(W.shape)
            """,
            "ranked the weights with their sign",
        ),
        (
            """
            def keep_largest(W, nonzeros, least):
                each = nonzeros // W.shape[0]
                places = W.abs().topk(each, dim=1).indices
                return torch.zeros_like(W).scatter(1, places, W.gather(1, places))
            """,
            "You gave each row the same number of weights",
        ),
        (
            """
            def keep_largest(W, nonzeros, least):
                scores = W.abs()
                scores.scatter_(1, scores.topk(least, dim=1).indices, torch.inf)
                gone = scores.flatten().argsort()[:W.numel() - nonzeros]
                W.view(-1)[gone] = 0
                return W
            """,
            IN_PLACE,
        ),
        (
            """
            def keep_largest(W, nonzeros, least):
                scores = W.abs()
                scores.scatter_(1, scores.topk(least, dim=1).indices, torch.inf)
                mask = torch.zeros(W.numel(), dtype=torch.bool)
                mask[scores.flatten().topk(nonzeros).indices] = True
                return mask.view(W.shape)
            """,
            "has the dtype bool; asked for is float32",
        ),
        (
            """
            def keep_largest(W, nonzeros, least):
                scores = W.abs()
                scores.scatter_(1, scores.topk(least, dim=1).indices, 0.0)
                places = scores.flatten().topk(nonzeros).indices
                return W * torch.zeros(W.numel()).scatter(0, places, 1.0).view(W.shape)
            """,
            "other values than expected",
        ),
    ],
    "superposition.phase_losses": [
        (
            """
            def phase_losses(p_zero, importance):
                s = 1 - p_zero
                second_moment = s / 3
                return importance * second_moment, second_moment, (1 + importance) * s**2 / 6
            """,
            "the variance",
        ),
        (
            """
            def phase_losses(p_zero, importance):
                s = 1 - p_zero
                var = s / 12
                return importance * var, var, s ** 2 * (1 + importance) / 6
            """,
            "with the zeros counted in",
        ),
        (
            """
            def phase_losses(p_zero, importance):
                s = p_zero
                var = s / 3 - (s / 2) ** 2
                return importance * var, var, s ** 2 * (1 + importance) / 6
            """,
            "You took p_zero for the probability that a feature is present",
        ),
        (
            """
            def phase_losses(p_zero, importance):
                s = 1 - p_zero
                var = s / 3 - (s / 2) ** 2
                return var, importance * var, s ** 2 * (1 + importance) / 6
            """,
            "Your first two losses are exchanged",
        ),
        (
            """
            def phase_losses(p_zero, importance):
                s = 1 - p_zero
                var = s / 3 - (s / 2) ** 2
                # both are present, and each is read off by the other
                return importance * var, var, s ** 2 * (1 / 3 + importance / 3)
            """,
            "The error is the *smaller* of the two",
        ),
        (
            """
            def phase_losses(p_zero, importance):
                s = 1 - p_zero
                var = s / 3 - (s / 2) ** 2
                losses = [importance * var, var, s ** 2 * (1 + importance) / 6]
                return losses.index(min(losses))
            """,
            "asked for are 3 values",
        ),
        (
            """
            def phase_losses(p_zero, importance):
                s = 1 - p_zero
                var = s / 3 - (s / 2) ** 2
                # one of them is present
                return importance * var, var, 2 * s * p_zero * (1 + importance) / 6
            """,
            "Entry 3 of the answer is",
        ),
    ],
}

RIGHT = {
    "superposition.toy_loss": [
        """
        def toy_loss(W, b, x, importance):
            total = 0.0
            for row in x.double():
                out = torch.relu(W.T.double() @ (W.double() @ row) + b)
                total += float(importance.double() @ (row - out) ** 2)
            return total / len(x)
        """,
        """
        def toy_loss(W, b, x, importance):
            out = torch.nn.functional.linear(x, W.T @ W, b).clamp_min(0)
            return (x - out).square().mean(0) @ importance
        """,
        """
        def toy_loss(W, b, x, importance):
            W, b, x, importance = (t.numpy().astype(np.float64) for t in (W, b, x, importance))
            out = np.maximum(x @ W.T @ W + b, 0)
            return np.einsum("bn,n->", (x - out) ** 2, importance) / len(x)
        """,
    ],
    "superposition.dimensionality": [
        """
        def dimensionality(W):
            D = []
            for i in range(W.shape[1]):
                hat = W[:, i] / W[:, i].norm()
                total = sum(float(hat @ W[:, j]) ** 2 for j in range(W.shape[1]))
                D.append(float(W[:, i] @ W[:, i]) / total)
            return torch.tensor(D)
        """,
        """
        def dimensionality(W):
            gram = W.T @ W
            return gram.diagonal() ** 2 / gram.square().sum(0)
        """,
        """
        def dimensionality(W):
            unit = torch.nn.functional.normalize(W, dim=0)
            return W.square().sum(0) / torch.einsum("mi,mj->ij", unit, W).square().sum(1)
        """,
    ],
    "superposition.keep_largest": [
        """
        def keep_largest(W, nonzeros, least):
            rows, rest = [row.abs().argsort(descending=True).tolist() for row in W], []
            keep = {(k, i) for k, row in enumerate(rows) for i in row[:least]}
            rest = sorted(((k, i) for k, row in enumerate(rows) for i in row[least:]),
                          key=lambda place: -abs(float(W[place])))
            keep |= set(rest[:nonzeros - len(keep)])
            out = torch.zeros_like(W)
            for place in keep:
                out[place] = W[place]
            return out
        """,
        """
        def keep_largest(W, nonzeros, least):
            ranks = W.abs().argsort(dim=1, descending=True).argsort(dim=1)
            key = (ranks >= least).double() - W.abs().double() / (W.abs().max() * 2)
            cut = key.flatten().sort().values[nonzeros - 1]
            return W.masked_fill(key > cut, 0.0)
        """,
        """
        def keep_largest(W, nonzeros, least):
            w = W.numpy().copy()
            size = np.abs(w)
            order = np.argsort(-size, axis=1)
            np.put_along_axis(size, order[:, :least], np.inf, axis=1)
            w.ravel()[np.argsort(size, axis=None)[:w.size - nonzeros]] = 0
            return torch.from_numpy(w)
        """,
    ],
    "superposition.phase_losses": [
        """
        def phase_losses(p_zero, importance):
            # Midpoints on a grid; exact for the mean of x and near enough for its square.
            t = (np.arange(4000) + 0.5) / 4000
            s = 1 - p_zero
            var = s * (t**2).mean() - (s * t.mean()) ** 2
            smaller = (t**2 * 2 * (1 - t)).mean()  # the density of the smaller of two is 2(1 − t)
            return importance * var, var, s**2 * (1 + importance) * smaller
        """,
        """
        def phase_losses(p_zero, importance):
            s = torch.tensor(1 - p_zero, dtype=torch.float64)
            mean, square = s / 2, s / 3
            collide = s * s * (1 / 3 - 1 / 6)  # E[min²] = E[x y] · 2/3 = 1/6
            return [importance * (square - mean**2), square - mean**2, collide * (1 + importance)]
        """,
    ],
}

EQUIVALENT = {
    "superposition.toy_loss": {
        "`return float((importance * (x_hat - x) ** 2).sum(1).mean())`": "the square of a "
        "difference does not depend on its sign",
    },
    "superposition.keep_largest": {
        "`mask = torch.zeros(W.numel()).scatter(-1, kept, 1.0)`": "the only dimension is the last",
    },
}
