"""From the tasks' losses to their weights ω, Σ ω = T."""

import math

from losses import factor


def normalised(weights, least=0.0):
    """Σ = T, none below `least`, and again Σ = T."""
    weights = [len(weights) * w / sum(weights) for w in weights]
    if min(weights) < least:
        weights = [max(w, least) for w in weights]
        weights = [len(weights) * w / sum(weights) for w in weights]
    return weights


class Adam:
    """Of one number."""

    def __init__(self, rate):
        self.rate, self.m, self.v, self.t = rate, 0.0, 0.0, 0

    def change(self, g):
        self.t += 1
        self.m = 0.9 * self.m + 0.1 * g
        self.v = 0.999 * self.v + 0.001 * g * g
        m, v = self.m / (1 - 0.9**self.t), self.v / (1 - 0.999**self.t)
        return -self.rate * m / (math.sqrt(v) + 1e-8)


class Balancer:
    """Sums what the batches say until Σφ ≥ 1, then takes one step."""

    needs_norms = False

    def __init__(self, config):
        self.options, self.tasks = config["balance"], config["tasks"]
        self.weights = [1.0] * len(self.tasks)
        self.clear()

    def clear(self):
        self.share = 0.0
        self.sums = [0.0] * len(self.tasks)
        self.counts = [0] * len(self.tasks)

    def add(self, sums, counts, share):
        self.sums = [a + (b or 0.0) for a, b in zip(self.sums, sums)]
        self.counts = [a + b for a, b in zip(self.counts, counts)]
        self.share += share
        if self.share >= 1 - 1e-9:
            self.step()
            self.clear()

    def loss(self, k):
        """L_k since the last step; None where the task was absent."""
        return self.sums[k] / self.counts[k] if self.counts[k] else None

    def step(self):
        pass


class Fixed(Balancer):
    def __init__(self, config):
        super().__init__(config)
        given = self.options.get("weights", {})
        self.weights = normalised([given.get(task["name"], 1.0) for task in self.tasks])


class Uncertainty(Balancer):
    def __init__(self, config):
        super().__init__(config)
        self.s = [0.0] * len(self.tasks)
        self.factors = [factor(task) for task in self.tasks]
        self.adam = [Adam(self.options["rate"]) for _ in self.tasks]
        self.update()

    def raw(self, k):
        return self.factors[k] * math.exp(-self.s[k])

    def update(self):
        raw = [self.raw(k) for k in range(len(self.s))]
        self.weights = normalised(raw, self.options["min_weight"])

    def step(self):
        for k in range(len(self.s)):
            if self.counts[k]:
                slope = 0.5 - self.raw(k) * self.loss(k)
                self.s[k] = min(5.0, max(-5.0, self.s[k] + self.adam[k].change(slope)))
        self.update()


class RunningMean:
    """A plain mean of the first `length` values, then fading with that length."""

    def __init__(self, length):
        self.length, self.count, self.value = length, 0, 0.0

    def add(self, value):
        self.value += max(1 / (self.count + 1), 1 / self.length) * (value - self.value)
        self.count = min(self.count + 1, self.length)


class GradNorm(Balancer):
    """`norms`: ‖∇_W L_k‖ of the last shared layer, of the step's whole rows."""

    needs_norms = True

    def __init__(self, config):
        super().__init__(config)
        self.own = self.options["gradnorm"]
        self.adam = [Adam(self.own["rate"]) for _ in self.tasks]
        self.losses = [RunningMean(self.own["loss_steps"]) for _ in self.tasks]
        self.starts = [[] for _ in self.tasks]

    def relative(self, k):
        return self.losses[k].value / (sum(self.starts[k]) / len(self.starts[k]))

    def step(self):
        present = [k for k in range(len(self.tasks)) if self.counts[k]]
        for k in present:
            self.losses[k].add(self.loss(k))
            if len(self.starts[k]) < self.own["start_steps"]:
                self.starts[k].append(self.loss(k))
        if not present:
            return
        sizes = {k: self.weights[k] * self.norms[k] for k in present}
        mean = sum(sizes.values()) / len(present)
        relative = {k: self.relative(k) for k in present}
        middle = sum(relative.values()) / len(present)
        before = sum(self.weights[k] for k in present)
        for k in present:
            difference = sizes[k] - mean * (relative[k] / middle) ** self.own["alpha"]
            sign = (difference > 0) - (difference < 0)
            self.weights[k] += self.adam[k].change(sign * self.norms[k])
        for k in present:
            self.weights[k] = max(self.weights[k], self.options["min_weight"])
        after = sum(self.weights[k] for k in present)
        for k in present:
            self.weights[k] *= before / after


class Dwa(Balancer):
    def __init__(self, config):
        super().__init__(config)
        self.steps = 0
        self.window_sums = [0.0] * len(self.tasks)
        self.window_counts = [0] * len(self.tasks)
        self.means = [[] for _ in self.tasks]

    def step(self):
        self.window_sums = [a + b for a, b in zip(self.window_sums, self.sums)]
        self.window_counts = [a + b for a, b in zip(self.window_counts, self.counts)]
        self.steps += 1
        if self.steps % self.options["window"]:
            return
        present = [k for k, count in enumerate(self.window_counts) if count]
        ratios = {}
        for k in present:
            self.means[k].append(self.window_sums[k] / self.window_counts[k])
            ratios[k] = self.means[k][-1] / self.means[k][-2] if len(self.means[k]) > 1 else 1.0
        raw = {k: math.exp(ratios[k] / self.options["temperature"]) for k in present}
        before = sum(self.weights[k] for k in present)
        for k in present:
            share = raw[k] / sum(raw.values()) * before
            self.weights[k] = max(share, self.options["min_weight"])
        after = sum(self.weights[k] for k in present)
        for k in present:
            self.weights[k] *= before / after
        self.window_sums = [0.0] * len(self.tasks)
        self.window_counts = [0] * len(self.tasks)


def make(config):
    kinds = {"fixed": Fixed, "uncertainty": Uncertainty, "gradnorm": GradNorm, "dwa": Dwa}
    return kinds[config["balance"]["method"]](config)
