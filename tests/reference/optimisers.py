"""Optimisers of dense weights and of embedding rows."""

import torch


class Dense:
    """One step by the gradient g of the mean loss; `share` is φ = n / B of the batch."""

    def __init__(self, options, weights):
        self.kind, self.rate = options["optimizer"], options["rate"]
        self.options = options
        self.first = {name: torch.zeros_like(w) for name, w in weights.items()}
        self.second = {name: torch.zeros_like(w) for name, w in weights.items()}
        self.shares = 0.0

    def step(self, weights, gradients, share):
        self.shares += share
        with torch.no_grad():
            for name, w in weights.items():
                getattr(self, self.kind)(name, w, gradients[name], share)

    def sgd(self, name, w, g, share):
        w -= self.rate * share * g

    def adagrad(self, name, w, g, share):
        self.second[name] += (share * g) ** 2
        w -= self.rate * share * g / (self.second[name].sqrt() + 1e-10)

    def adam(self, name, w, g, share):
        keep1, keep2 = 0.9**share, 0.999**share
        self.first[name] = keep1 * self.first[name] + (1 - keep1) * g
        self.second[name] = keep2 * self.second[name] + (1 - keep2) * share * g**2
        m = self.first[name] / (1 - 0.9**self.shares)
        v = self.second[name] / (1 - 0.999**self.shares)
        w -= self.rate * share * m / (v.sqrt() + 1e-8)

    def adamw(self, name, w, g, share):
        if name.endswith(".weight"):
            w *= (1 - self.rate * self.options["weight_decay"]) ** share
        self.adam(name, w, g, share)


class Rows:
    """One step of the touched rows by the gradient of the batch's sum of losses."""

    def __init__(self, options, rows):
        self.kind, self.rate = options["optimizer"], options["rate"]
        self.options = options
        self.sums = {table: torch.zeros_like(w) for table, w in rows.items()}
        self.first = {table: torch.zeros_like(w) for table, w in rows.items()}
        self.steps = {table: torch.zeros(len(w), 1, dtype=w.dtype) for table, w in rows.items()}
        # FTRL's z that a weight which did not start at 0 comes of.
        damping = options.get("beta", 1.0) / self.rate + options.get("l2", 0.0)
        self.z = {table: -w.detach() * damping for table, w in rows.items()}

    def step(self, rows, gradients, touched):
        with torch.no_grad():
            for table, w in rows.items():
                if places := touched[table]:
                    getattr(self, self.kind)(table, w, gradients[table][places], places)

    def sgd(self, table, w, g, places):
        w[places] -= self.rate * g

    def adagrad(self, table, w, g, places):
        self.sums[table][places] += g**2
        w[places] -= self.rate * g / (self.sums[table][places].sqrt() + 1e-10)

    def rowwise_adagrad(self, table, w, g, places):
        self.sums[table][places] += (g**2).mean(1, keepdim=True)  # all columns alike
        w[places] -= self.rate * g / (self.sums[table][places].sqrt() + 1e-10)

    def ftrl(self, table, w, g, places):
        """McMahan et al. 2013, with λ1 = 0."""
        n, z = self.sums[table][places], self.z[table][places]
        beta, l2 = self.options.get("beta", 1.0), self.options.get("l2", 0.0)
        sigma = ((n + g**2).sqrt() - n.sqrt()) / self.rate
        z = z + g - sigma * w[places]
        n = n + g**2
        w[places] = -z / ((beta + n.sqrt()) / self.rate + l2)
        self.sums[table][places], self.z[table][places] = n, z

    def adam(self, table, w, g, places):
        """Each row counts its own steps."""
        self.steps[table][places] += 1
        t = self.steps[table][places]
        m = self.first[table][places] = 0.9 * self.first[table][places] + 0.1 * g
        v = self.sums[table][places] = 0.999 * self.sums[table][places] + 0.001 * g**2
        m, v = m / (1 - 0.9**t), v / (1 - 0.999**t)
        w[places] -= self.rate * m / (v.sqrt() + 1e-8)
