"""What learners should not see at a glance; see pruning.py beside this."""

IN_PLACE = "changed its input in place"

WRONG = {
    "autoencoders.top_k": [
        (
            """
            def top_k(pre, k):
                out = torch.zeros_like(pre)
                for i, row in enumerate(pre):
                    best = row.argsort(descending=True)[:k]
                    out[i, best] = row[best]
                return out
            """,
            "You left out the ReLU",
        ),
        (
            """
            def top_k(pre, k):
                cut = pre.flatten().sort(descending=True).values[k * len(pre) - 1]
                return torch.where(pre >= cut, pre, 0.0).relu()
            """,
            "That is BatchTopK",
        ),
        (
            """
            def top_k(pre, k):
                values, places = pre.abs().topk(k)
                return torch.zeros_like(pre).scatter(1, places, pre.gather(1, places).relu())
            """,
            "a strongly negative latent takes the place",
        ),
        (
            """
            def top_k(pre, k):
                order = pre.argsort(dim=1)[:, :k]
                return torch.zeros_like(pre).scatter(1, order, pre.gather(1, order)).relu()
            """,
            "You kept the k smallest",
        ),
        (
            """
            def top_k(pre, k):
                cut = pre.sort(dim=1, descending=True).values[:, k - 1:k]
                pre[pre < cut] = 0
                return pre.clamp(min=0)
            """,
            IN_PLACE,
        ),
        (
            """
            def top_k(pre, k):
                cut = pre.kthvalue(pre.shape[1] - k, dim=1, keepdim=True).values
                return (pre - cut).relu()
            """,
            "other values than expected",
        ),
        (
            """
            def top_k(pre, k):
                values, places = pre.topk(k, dim=0)
                return torch.zeros_like(pre).scatter(0, places, values.relu())
            """,
            "raised RuntimeError",
        ),
    ],
    "autoencoders.fvu": [
        (
            """
            def fvu(x, x_hat):
                residual = x - x_hat
                return residual.var(dim=0).sum() / x.var(dim=0).sum()
            """,
            "You took the variance of x − x̂",
        ),
        (
            """
            def fvu(x, x_hat):
                return torch.nn.functional.mse_loss(x_hat, x) / x.var(unbiased=False)
            """,
            "You took one mean over all dimensions",
        ),
        (
            """
            def fvu(x, x_hat):
                return (x - x_hat).norm() ** 2 / x.norm() ** 2
            """,
            "You left out the mean",
        ),
        (
            """
            def fvu(x, x_hat):
                ss = lambda a: (a ** 2).sum()
                return 1 - ss(x - x_hat) / ss(x - x.mean(0))
            """,
            "You returned the variance explained",
        ),
        (
            """
            def fvu(x, x_hat):
                x -= x.mean(0)
                x_hat -= x_hat.mean(0)
                return ((x - x_hat) ** 2).sum() / (x ** 2).sum()
            """,
            IN_PLACE,
        ),
        (
            """
            def fvu(x, x_hat):
                each = (x - x_hat).square().mean(0) / x.var(0, unbiased=False)
                return each.mean()
            """,
            "You took the mean of each dimension's fraction",
        ),
        (
            """
            def fvu(x, x_hat):
                return ((x - x_hat) ** 2).sum(1) / ((x - x.mean(0)) ** 2).sum(1)
            """,
            "asked for is a number",
        ),
    ],
    "autoencoders.update_decoder": [
        (
            """
            def update_decoder(W_dec, gradient, learning_rate):
                return torch.nn.functional.normalize(W_dec - learning_rate * gradient)
            """,
            "You did not take off the gradient's part along each row",
        ),
        (
            """
            def update_decoder(W_dec, gradient, learning_rate):
                W = W_dec / W_dec.norm(dim=1, keepdim=True)
                along = torch.einsum("ij,ij->i", gradient, W)
                return W - learning_rate * (gradient - along[:, None] * W)
            """,
            "divide after it",
        ),
        (
            """
            def update_decoder(W_dec, gradient, learning_rate):
                g = gradient - (gradient * W_dec).sum(1, keepdim=True) * W_dec
                W = W_dec - learning_rate * g
                return torch.nn.functional.normalize(W, dim=0)
            """,
            "You divided columns",
        ),
        (
            """
            def update_decoder(W_dec, gradient, learning_rate):
                g = (gradient * W_dec).sum(1, keepdim=True) * W_dec
                return torch.nn.functional.normalize(W_dec - learning_rate * g)
            """,
            "You kept the part along each row",
        ),
        (
            """
            def update_decoder(W_dec, gradient, learning_rate):
                gradient -= (gradient * W_dec).sum(1, keepdim=True) * W_dec
                return torch.nn.functional.normalize(W_dec - learning_rate * gradient)
            """,
            IN_PLACE,
        ),
        (
            """
            def update_decoder(W_dec, gradient, learning_rate):
                # after the step: the part along the new rows
                W = W_dec - learning_rate * gradient
                W = W + learning_rate * (gradient * W).sum(1, keepdim=True) * W
                return torch.nn.functional.normalize(W)
            """,
            "other values than expected",
        ),
        (
            """
            def update_decoder(W_dec, gradient, learning_rate):
                g = gradient - (gradient * W_dec).sum(1) * W_dec
                return torch.nn.functional.normalize(W_dec - learning_rate * g)
            """,
            "raised RuntimeError",
        ),
    ],
    "autoencoders.batch_top_k_latents": [
        (
            """
            def batch_top_k_latents(train, pre, k):
                flat = pre.relu().flatten()
                values, places = flat.topk(k * len(pre))
                return torch.zeros_like(flat).scatter(0, places, values).view(pre.shape)
            """,
            "You let the new inputs compete with each other",
        ),
        (
            """
            def batch_top_k_latents(train, pre, k):
                values = train.flatten().topk(k * len(train)).values
                return torch.where(pre >= values[values > 0].median(), pre, 0.0)
            """,
            "other values than expected",
        ),
        (
            """
            def batch_top_k_latents(train, pre, k):
                values = train.flatten().sort(descending=True).values
                threshold = values[k * len(train) - 1].clamp(min=0)
                return torch.where(pre >= threshold, pre, 0.0)
            """,
            "your threshold is 0",
        ),
        (
            """
            def batch_top_k_latents(train, pre, k):
                threshold = np.mean([np.sort(row)[-k] for row in train.numpy()])
                return torch.where(pre >= float(threshold), pre, 0.0)
            """,
            "You took the mean of the k-th largest",
        ),
        (
            """
            def batch_top_k_latents(train, pre, k):
                values = train.flatten().topk(k * len(train)).values
                threshold = values[values > 0][-1]
                return torch.nn.functional.threshold(pre, float(threshold), 0.0)
            """,
            "What just reaches the threshold is kept too",
        ),
        (
            """
            def batch_top_k_latents(train, pre, k):
                values = train.flatten().topk(k * len(train)).values
                pre[pre < values[values > 0].min()] = 0
                return pre
            """,
            IN_PLACE,
        ),
        (
            """
            def batch_top_k_latents(train, pre, k):
                values = train.flatten().topk(k * len(train)).values
                theta = values[values > 0].min()
                return (pre - theta) * (pre >= theta)
            """,
            "You took the threshold off what is kept",
        ),
    ],
    "autoencoders.train_to_l0": [
        (
            """
            def train_to_l0(x, start, target, epsilon, steps):
                # The sparsity of L1, then a cut that has the right L0.
                p = {n: v.clone().requires_grad_() for n, v in start.items()}
                optimiser = torch.optim.Adam(p.values(), lr=0.03)
                for _ in range(steps):
                    f = ((x - p["b_dec"]) @ p["W_enc"] + p["b_enc"]).relu()
                    error = f @ p["W_dec"] + p["b_dec"] - x
                    loss = error.square().sum(1).mean() + 0.05 * f.sum(1).mean()
                    optimiser.zero_grad()
                    loss.backward()
                    optimiser.step()
                return {n: v.detach() for n, v in p.items()}
            """,
            "θ is where it started",
        ),
        (
            """
            def train_to_l0(x, start, target, epsilon, steps):
                p = {n: v.clone().requires_grad_() for n, v in start.items()}
                optimiser = torch.optim.Adam(p.values(), lr=0.03)
                for _ in range(steps):
                    with torch.no_grad():
                        p["W_dec"] /= p["W_dec"].norm(dim=1, keepdim=True)
                    z = (x - p["b_dec"]) @ p["W_enc"] + p["b_enc"]
                    ramp = ((z.detach() - p["theta"]) / epsilon + 0.5).clamp(0, 1)
                    on = (z > p["theta"]) + ramp - ramp.detach()
                    error = (z * on) @ p["W_dec"] + p["b_dec"] - x
                    loss = error.square().sum(1).mean()
                    loss = loss + 10 * (on.sum(1).mean() / target - 1) ** 2
                    optimiser.zero_grad()
                    loss.backward()
                    optimiser.step()
                    with torch.no_grad():
                        p["theta"].clamp_(min=1e-3)
                return {n: v.detach() for n, v in p.items()}
            """,
            "The rows of W_dec do not have norm 1",
        ),
        (
            """
            def train_to_l0(x, start, target, epsilon, steps):
                z = (x - start["b_dec"]) @ start["W_enc"] + start["b_enc"]
                cut = z.flatten().sort(descending=True).values[round(target * len(x))]
                return start | {"theta": torch.full_like(start["theta"], float(cut))}
            """,
            "train all that `start` holds",
        ),
        (
            """
            def train_to_l0(x, start, target, epsilon, steps):
                p = {n: v.clone() for n, v in start.items()}
                z = (x - p["b_dec"]) @ p["W_enc"] + p["b_enc"]
                cut = z.flatten().sort(descending=True).values[round(target * len(x))]
                noise = torch.Generator().manual_seed(0)
                p["W_enc"] += 1e-6 * torch.randn(p["W_enc"].shape, generator=noise)
                p["W_dec"] = torch.nn.functional.normalize(p["W_dec"] + 1e-4 * p["W_enc"].T ** 2)
                return p | {"theta": torch.full_like(p["theta"], float(cut))}
            """,
            "L0 is right, but the reconstruction is poor",
        ),
        (
            """
            def train_to_l0(x, start, target, epsilon, steps):
                for value in start.values():
                    value.requires_grad_()
                optimiser = torch.optim.SGD(start.values(), lr=0.1)
                z = (x - start["b_dec"]) @ start["W_enc"] + start["b_enc"]
                error = (z * (z > start["theta"])) @ start["W_dec"] + start["b_dec"] - x
                error.square().sum(1).mean().backward()
                optimiser.step()
                return start
            """,
            IN_PLACE,
        ),
        (
            """
            def train_to_l0(x, start, target, epsilon, steps):
                return tuple(start.values())
            """,
            "asked for is a dictionary",
        ),
        (
            """
            def train_to_l0(x, start, target, epsilon, steps):
                return start | {"theta": start["theta"].mean()}
            """,
            "The entry 'theta' has the shape ()",
        ),
        (
            """
            def train_to_l0(x, start, target, epsilon, steps):
                return {n: v / 0 * 0 for n, v in start.items()}
            """,
            "holds NaN",
        ),
    ],
}

RIGHT = {
    "autoencoders.top_k": [
        """
        def top_k(pre, k):
            out = torch.zeros_like(pre)
            for i, row in enumerate(pre.tolist()):
                for j in sorted(range(len(row)), key=row.__getitem__)[-k:]:
                    out[i, j] = max(row[j], 0.0)
            return out
        """,
        """
        def top_k(pre, k):
            ranks = pre.argsort(dim=1, descending=True).argsort(dim=1)
            return pre.relu() * (ranks < k)
        """,
        """
        def top_k(pre, k):
            cut = np.sort(pre.numpy(), axis=1)[:, -k][:, None]
            return torch.from_numpy(np.where(pre.numpy() >= cut, np.maximum(pre.numpy(), 0), 0))
        """,
    ],
    "autoencoders.fvu": [
        """
        def fvu(x, x_hat):
            error = total = 0.0
            for column, other in zip(x.T.tolist(), x_hat.T.tolist()):
                mean = sum(column) / len(column)
                error += sum((a - b) ** 2 for a, b in zip(column, other))
                total += sum((a - mean) ** 2 for a in column)
            return error / total
        """,
        """
        def fvu(x, x_hat):
            return (x - x_hat).square().mean(0).sum() / x.var(0, unbiased=False).sum()
        """,
        """
        def fvu(x, x_hat):
            x, x_hat = x.numpy(), x_hat.numpy()
            return np.linalg.norm(x_hat - x) ** 2 / (len(x) * np.trace(np.cov(x.T, ddof=0)))
        """,
    ],
    "autoencoders.update_decoder": [
        """
        def update_decoder(W_dec, gradient, learning_rate):
            rows = []
            for w, g in zip(W_dec, gradient):
                w = w - learning_rate * (g - (g @ w) * w)
                rows.append(w / w.norm())
            return torch.stack(rows)
        """,
        """
        def update_decoder(W_dec, gradient, learning_rate):
            # With W · W = 1, the step at a right angle has the norm √(1 + (rate · |g⊥|)²).
            flat = gradient - torch.einsum("ij,ij->i", gradient, W_dec)[:, None] * W_dec
            size = learning_rate * flat.norm(dim=1, keepdim=True)
            return (W_dec - learning_rate * flat) / (1 + size**2).sqrt()
        """,
        """
        def update_decoder(W_dec, gradient, learning_rate):
            w, g = W_dec.double().numpy(), gradient.double().numpy()
            w = w - learning_rate * (g - np.sum(g * w, axis=1, keepdims=True) * w)
            return torch.from_numpy(w / np.linalg.norm(w, axis=1, keepdims=True)).float()
        """,
    ],
    "autoencoders.batch_top_k_latents": [
        """
        def batch_top_k_latents(train, pre, k):
            positive = sorted((v for v in train.flatten().tolist() if v > 0), reverse=True)
            threshold = positive[:k * len(train)][-1]
            return torch.tensor([[v if v >= threshold else 0.0 for v in row]
                                 for row in pre.tolist()])
        """,
        """
        def batch_top_k_latents(train, pre, k):
            kept = train.relu().flatten().topk(k * train.shape[0]).values
            return pre.masked_fill(pre < kept[kept > 0][-1], 0.0)
        """,
        """
        def batch_top_k_latents(train, pre, k):
            values = np.sort(train.numpy().ravel())[::-1][:k * len(train)]
            threshold = values[values > 0].min()
            return torch.from_numpy(np.where(pre.numpy() >= threshold, pre.numpy(), 0))
        """,
    ],
    "autoencoders.train_to_l0": [
        """
        def train_to_l0(x, start, target, epsilon, steps):
            class Step(torch.autograd.Function):
                @staticmethod
                def forward(ctx, z, theta):
                    ctx.save_for_backward(z, theta)
                    return (z > theta).float()

                @staticmethod
                def backward(ctx, gradient):
                    z, theta = ctx.saved_tensors
                    near = ((z - theta).abs() < epsilon / 2).float() / epsilon
                    return None, -(near * gradient).sum(0)

            p = {n: torch.nn.Parameter(v.clone()) for n, v in start.items()}
            optimiser = torch.optim.Adam(p.values(), lr=0.02)
            for _ in range(steps):
                z = (x - p["b_dec"]) @ p["W_enc"] + p["b_enc"]
                on = Step.apply(z, p["theta"])
                error = z * on @ p["W_dec"] + p["b_dec"] - x
                loss = (error**2).sum(1).mean() + 20 * (on.sum(1).mean() / target - 1) ** 2
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                with torch.no_grad():
                    p["theta"].clamp_(min=0.01)
                    p["W_dec"].copy_(torch.nn.functional.normalize(p["W_dec"]))
            return {n: v.detach() for n, v in p.items()}
        """,
        """
        def train_to_l0(x, start, target, epsilon, steps):
            # No gradient for θ at all: it follows the quantile that gives the L0.
            p = {n: v.clone() for n, v in start.items()}
            learned = [p[n].requires_grad_() for n in ("W_enc", "b_enc", "W_dec", "b_dec")]
            optimiser = torch.optim.Adam(learned, lr=0.03)
            for _ in range(steps + 1):
                z = (x - p["b_dec"]) @ p["W_enc"] + p["b_enc"]
                cut = z.detach().flatten().sort(descending=True).values[round(target * len(x))]
                p["theta"] = torch.full_like(start["theta"], max(float(cut), 1e-6))
                last = {n: v.detach().clone() for n, v in p.items()}
                loss = ((z * (z > cut)) @ p["W_dec"] + p["b_dec"] - x).square().sum(1).mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                p["W_dec"].data /= p["W_dec"].data.norm(dim=1, keepdim=True)
            return last
        """,
    ],
}

SQUARE = "the square of a difference does not depend on its sign"
WINDOW = "another window round θ; Adam does not mind the size of θ's gradient, and L0 gets there"
WEIGHT = "another weight of the second term, and L0 still gets there"

EQUIVALENT = {
    "autoencoders.top_k": {
        "`values, indices = pre.topk(k)`": "of itself, topk takes the last dimension",
    },
    "autoencoders.fvu": {
        "`return float(((x_hat - x) ** 2).sum() / ((x - x.mean(0)) ** 2).sum())`": SQUARE,
        "`return float(((x - x_hat) ** 2).sum() / ((x.mean(0) - x) ** 2).sum())`": SQUARE,
    },
    "autoencoders.batch_top_k_latents": {
        "`threshold = kept[kept >= 0].min()`": "no pre-activation is exactly 0",
    },
    "autoencoders.train_to_l0": {
        "`ramp = ((z.detach() - theta) / epsilon).clamp(-0.5, 1.5)`": WINDOW,
        "`ramp = ((z.detach() - theta) / epsilon).clamp(-1.5, 0.5)`": WINDOW,
        "`ramp = ((z.detach() - theta) * epsilon).clamp(-0.5, 0.5)`": WINDOW,
        "`ramp = ((z.detach() - theta) / steps).clamp(-0.5, 0.5)`": WINDOW,
        "`active = (z >= theta) + ramp - ramp.detach()`": "z is never exactly θ",
        "`error = x - (z * active @ p['W_dec'] + p['b_dec'])`": SQUARE,
        "`too_many = 1 - active.sum(1).mean() / target`": SQUARE,
        "`too_many = target / active.sum(1).mean() - 1`": "this too is zero at the target alone",
        "`loss = error.square().sum(1).mean() + 31 * too_many.square()`": WEIGHT,
        "`loss = error.square().sum(1).mean() + 29 * too_many.square()`": WEIGHT,
        "`loss = error.square().mean(1).mean() + 30 * too_many.square()`": WEIGHT,
        "`return {name: p[name].exp() if name == 'theta' else p[name] for name in p}`": "a tensor "
        "comes back from the worker without its graph",
    },
}
