"""Optimisers of dense weights and of embedding rows."""

import math

import torch


def scheduled_share(options, steps):
    """What part of the rate a step takes; `steps` is Σφ with this one."""
    schedule = options.get("schedule", {})
    shape, warmup = schedule.get("shape", "constant"), schedule.get("warmup", 0)
    if steps < warmup:
        return steps / warmup
    if shape == "constant":
        return 1.0
    past, floor = (steps - warmup) / schedule["length"], schedule["floor"]
    if shape == "inverse_sqrt":
        share = (1 + past) ** -0.5
    elif shape == "cosine":
        share = floor + (1 - floor) * (1 + math.cos(math.pi * min(past, 1))) / 2
    elif shape == "exponential":
        share = schedule["factor"] ** past
    else:
        share = schedule["factor"] ** math.floor(past + 1e-9)
    return max(share, floor)


class State:
    """What an optimiser keeps beside the weights, and the steps that it took."""

    def __init__(self, weights):
        self.first = {name: torch.zeros_like(w) for name, w in weights.items()}
        self.second = {name: torch.zeros_like(w) for name, w in weights.items()}
        self.shares = 0.0


class Dense:
    """One step by the gradient g of the mean loss; `share` is φ = n / B of the batch."""

    def __init__(self, options, weights):
        self.kind, self.options = options["optimizer"], options
        self.states = [State(weights)]  # of the sum, then of each task
        self.shares = 0.0

    def step(self, weights, gradients, share, by_task=None, shared=(), kept=()):
        """`by_task`: each task's gradients, or None where it is absent; of the weights named `shared`
        each has a state and a step of its own (AdaTask, Yang et al. 2023). Those named `kept` stay."""
        self.shares += share
        self.rate = self.options["rate"] * scheduled_share(self.options, self.shares)
        if by_task:
            self.states += [State(weights) for _ in by_task[len(self.states) - 1 :]]
        scale = self.scale(weights, gradients, share)
        parts = [
            None if part is None else {name: scale * part[name] for name in weights}
            for part in (gradients, *(by_task or []))
        ]
        weights = {name: w for name, w in weights.items() if name not in kept}
        with torch.no_grad():
            before = {name: w.clone() for name, w in weights.items()}
            if self.kind == "adamw":
                self.decay(weights, share)
            for k, (state, part) in enumerate(zip(self.states, parts)):
                if part is None:
                    continue
                state.shares += share
                for name, w in weights.items():
                    if (k > 0) == (name in (shared or ())):
                        getattr(self, self.kind.replace("adamw", "adam"))(state, name, w, part[name], share)
            if self.options.get("clip", "off") == "clippy":
                for name, w in weights.items():
                    self.clip(w, before[name])

    def scale(self, weights, gradients, share):
        """So that √φ times the norm of all, no rows', is no more than `clip_norm`."""
        most = self.options.get("clip_norm", 0)
        norm = math.sqrt(share * sum(float((gradients[name] ** 2).sum()) for name in weights))
        return most / norm if 0 < most < norm else 1.0

    def clip(self, w, before):
        """Tang et al. 2023: no weight of a block moves by more than a share of its size and a bit."""
        most = self.options["clip_relative"] * before.abs() + self.options["clip_absolute"]
        change = w - before
        scale = min(1.0, float((most / change.abs()).min()))
        w.copy_(before + scale * change)

    def sgd(self, state, name, w, g, share):
        momentum = self.options.get("momentum", 0.0)
        keep = momentum**share
        state.first[name] = keep * state.first[name] + (1 - keep) / (1 - momentum) * g
        w -= self.rate * share * state.first[name]

    def adagrad(self, state, name, w, g, share):
        state.second[name] += (share * g) ** 2
        w -= self.rate * share * g / (state.second[name].sqrt() + 1e-10)

    def adam(self, state, name, w, g, share):
        keep1, keep2 = 0.9**share, 0.999**share
        state.first[name] = keep1 * state.first[name] + (1 - keep1) * g
        state.second[name] = keep2 * state.second[name] + (1 - keep2) * share * g**2
        m = state.first[name] / (1 - 0.9**state.shares)
        v = state.second[name] / (1 - 0.999**state.shares)
        w -= self.rate * share * m / (v.sqrt() + 1e-8)

    def decay(self, weights, share):
        for name, w in weights.items():
            if name.endswith(".weight"):
                w *= (1 - self.rate * self.options["weight_decay"]) ** share


class Rows:
    """One step of the touched rows by the gradient of the batch's sum of losses."""

    def __init__(self, options, rows):
        self.kind, self.options = options["optimizer"], options
        self.sums = {table: torch.zeros_like(w) for table, w in rows.items()}
        self.first = {table: torch.zeros_like(w) for table, w in rows.items()}
        self.steps = {table: torch.zeros(len(w), 1, dtype=w.dtype) for table, w in rows.items()}
        self.used = {table: torch.zeros(len(w), 1, dtype=w.dtype) for table, w in rows.items()}
        self.beta, self.l2 = options.get("beta", 1.0), options.get("l2", 0.0)
        # FTRL's z that a weight which did not start at 0 comes of.
        damping = self.beta / options["rate"] + self.l2
        self.z = {table: -w.detach() * damping for table, w in rows.items()}
        self.shares = 0.0

    def step(self, rows, gradients, touched, share):
        self.shares += share
        self.rate = self.options["rate"] * scheduled_share(self.options, self.shares)
        with torch.no_grad():
            for table, w in rows.items():
                if places := touched[table]:
                    g = gradients[table][places]
                    self.decay(table, w, places)
                    if self.l2 > 0 and self.kind != "ftrl":
                        g = g + self.l2 * w[places]
                    getattr(self, self.kind)(table, w, g, places)

    def decay(self, table, w, places):
        """What a row missed since its last use; times of use are kept in 256ths of a step."""
        now = max(1, int(self.shares * 256))
        if decay := self.options.get("decay", 0.0):
            before = self.used[table][places]
            kept = torch.exp(-self.rate * decay * (now - before) / 256)
            w[places] *= torch.where(before > 0, kept, torch.ones_like(kept))
            self.used[table][places] = float(now)

    def sgd(self, table, w, g, places):
        w[places] -= self.rate * g

    def adagrad(self, table, w, g, places):
        self.sums[table][places] += g**2
        w[places] -= self.rate * g / (self.sums[table][places].sqrt() + 1e-10)

    def rowwise_adagrad(self, table, w, g, places):
        self.sums[table][places] += (g**2).mean(1, keepdim=True)  # all columns alike
        w[places] -= self.rate * g / (self.sums[table][places].sqrt() + 1e-10)

    def ftrl(self, table, w, g, places):
        """McMahan et al. 2013, with λ1 = 0; with a schedule or decay, which it knows nothing of, the
        step that its formula comes to."""
        n = self.sums[table][places]
        if self.options.get("schedule") or self.options.get("decay"):
            self.sums[table][places] = n = n + g**2
            w[places] -= self.rate * g / (self.beta + n.sqrt() + self.rate * self.l2)
            return
        z = self.z[table][places]
        sigma = ((n + g**2).sqrt() - n.sqrt()) / self.rate
        z = z + g - sigma * w[places]
        n = n + g**2
        w[places] = -z / ((self.beta + n.sqrt()) / self.rate + self.l2)
        self.sums[table][places], self.z[table][places] = n, z

    def adam(self, table, w, g, places):
        """Each row counts its own steps."""
        beta1, beta2 = self.options.get("beta1", 0.9), self.options.get("beta2", 0.999)
        self.steps[table][places] += 1
        t = self.steps[table][places]
        m = self.first[table][places] = beta1 * self.first[table][places] + (1 - beta1) * g
        v = self.sums[table][places] = beta2 * self.sums[table][places] + (1 - beta2) * g**2
        m, v = m / (1 - beta1**t), v / (1 - beta2**t)
        w[places] -= self.rate * m / (v.sqrt() + self.options.get("epsilon", 1e-8))
