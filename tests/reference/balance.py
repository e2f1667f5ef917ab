"""From the tasks' losses to their weights ω, Σ ω = T."""

import math

import philox
from losses import factor, is_binary


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


class RunningMean:
    """A plain mean of the first `length` values, then fading with that length."""

    def __init__(self, length):
        self.length, self.count, self.value = length, 0, 0.0

    def add(self, value):
        self.value += max(1 / (self.count + 1), 1 / self.length) * (value - self.value)
        self.count = min(self.count + 1, self.length)


class Balancer:
    """Takes one step at a time: `losses` are L_k over all rows since the last one, None where a task
    was absent; `norms` are ‖∇_W L_k‖ of the last shared layer, `figures` how well a task is
    predicted, each where it is asked for, None where there is none."""

    def __init__(self, config):
        self.options, self.tasks = config["balance"], config["tasks"]
        self.least = self.options.get("min_weight", 0.05)
        self.weights = [1.0] * len(self.tasks)
        self.steps = 0

    def needs_norms(self):
        return False

    def needs_figures(self):
        return False

    def step(self, sums, counts, norms, figures):
        self.move([s / n if n else None for s, n in zip(sums, counts)], norms, figures)
        self.steps += 1

    def move(self, losses, norms, figures):
        pass

    def share_among(self, present, before):
        """Lifts the weights of `present` to the least and scales them so that they sum to `before`."""
        for k in present:
            self.weights[k] = max(self.weights[k], self.least)
        after = sum(self.weights[k] for k in present)
        for k in present:
            self.weights[k] *= before / after


class Fixed(Balancer):
    """Given weights; with `decay` ω_k γ_k^t after t windows (PLE, Tang et al. 2020, eq. 10)."""

    def __init__(self, config):
        super().__init__(config)
        given, decay = self.options.get("weights", {}), self.options.get("decay", {})
        self.start = [given.get(task["name"], 1.0) for task in self.tasks]
        self.decay = [decay.get(task["name"], 1.0) for task in self.tasks]
        self.weights = normalised(self.start)

    def move(self, losses, norms, figures):
        steps, window = self.steps + 1, self.options.get("window", 100)
        if steps % window == 0 and any(ratio != 1 for ratio in self.decay):
            raw = normalised([w * ratio ** (steps // window) for w, ratio in zip(self.start, self.decay)])
            lifted = [max(w, self.least) if w0 > 0 else w for w, w0 in zip(raw, self.start)]
            self.weights = normalised(lifted)


class Uncertainty(Balancer):
    """Kendall et al. 2018, s_k = ln σ_k²."""

    def __init__(self, config):
        super().__init__(config)
        self.own = self.options.get("uncertainty", {})
        self.s = [0.0] * len(self.tasks)
        self.factors = [0.5 if self.own.get("half_for_all") else factor(task) for task in self.tasks]
        self.adam = [Adam(self.options["rate"]) for _ in self.tasks]
        self.update()

    def raw(self, k):
        return self.factors[k] * math.exp(-self.s[k])

    def update(self):
        raw = [self.raw(k) for k in range(len(self.s))]
        if self.own.get("raw"):
            self.weights = [max(w, self.least) for w in raw]
        else:
            self.weights = normalised(raw, self.least)

    def move(self, losses, norms, figures):
        for k, loss in enumerate(losses):
            if loss is not None:
                slope = 0.5 - self.raw(k) * loss
                self.s[k] = min(5.0, max(-5.0, self.s[k] + self.adam[k].change(slope)))
        self.update()


class GradNorm(Balancer):
    """Chen et al. 2018."""

    def __init__(self, config):
        super().__init__(config)
        self.own = self.options["gradnorm"]
        self.adam = [Adam(self.own["rate"]) for _ in self.tasks]
        self.losses = [RunningMean(self.own["loss_steps"]) for _ in self.tasks]
        ln2 = self.own.get("start_loss") == "ln2"
        self.given = [ln2 and is_binary(task) for task in self.tasks]
        self.starts = [math.log(2) if given else 0.0 for given in self.given]
        self.start_steps = [0] * len(self.tasks)

    def needs_norms(self):
        return self.steps % self.own["every"] == 0

    def take(self, k, loss):
        self.losses[k].add(loss)
        if not self.given[k] and self.start_steps[k] < self.own["start_steps"]:
            self.start_steps[k] += 1
            self.starts[k] += (loss - self.starts[k]) / self.start_steps[k]
        else:
            self.starts[k] += self.own.get("start_drift", 0) * (self.losses[k].value - self.starts[k])

    def relative(self, k):
        """L_k / L_k(0); a loss below 0 (a count's may be) counts as 0, one that began there as 1."""
        return max(self.losses[k].value, 0) / self.starts[k] if self.starts[k] > 1e-12 else 1.0

    def move(self, losses, norms, figures):
        for k, loss in enumerate(losses):
            if loss is not None:
                self.take(k, loss)
        if not self.needs_norms():
            return
        present = [k for k, loss in enumerate(losses) if loss is not None and norms[k] is not None]
        if not present:
            return
        sizes = {k: self.weights[k] * norms[k] for k in present}
        mean = sum(sizes.values()) / len(present)
        relative = {k: self.relative(k) for k in present}
        middle = sum(relative.values()) / len(present)
        before = sum(self.weights[k] for k in present)
        for k in present:
            target = mean * (relative[k] / middle if middle > 0 else 1.0) ** self.own["alpha"]
            sign = (sizes[k] > target) - (sizes[k] < target)
            self.weights[k] += self.adam[k].change(sign * norms[k])
        self.share_among(present, before)


class Windowed(Balancer):
    """Moves the weights of the tasks that were present at the end of each window."""

    def __init__(self, config):
        super().__init__(config)
        self.clear()

    def clear(self):
        self.sums = [0.0] * len(self.tasks)
        self.counts = [0] * len(self.tasks)

    def is_last(self):
        return (self.steps + 1) % self.options["window"] == 0

    def step(self, sums, counts, norms, figures):
        self.sums = [a + b for a, b in zip(self.sums, sums)]
        self.counts = [a + b for a, b in zip(self.counts, counts)]
        if self.is_last():
            shares, part = self.shares(figures)
            before, whole = sum(self.weights[k] for k in shares), sum(shares.values())
            if whole > 0:
                for k, share in shares.items():
                    self.weights[k] += part * (share / whole * before - self.weights[k])
                self.share_among(list(shares), before)
            self.clear()
        self.steps += 1


class Dwa(Windowed):
    """Liu et al. 2019."""

    def __init__(self, config):
        super().__init__(config)
        self.means = [[] for _ in self.tasks]

    def ratio(self, k):
        if len(self.means[k]) < 2:
            return 1.0
        before, last = self.means[k][-2:]
        return min(last / before, 100.0) if before > 1e-9 and last >= 0 else 1.0

    def shares(self, figures):
        present = [k for k, count in enumerate(self.counts) if count]
        for k in present:
            self.means[k].append(self.sums[k] / self.counts[k])
        return {k: math.exp(self.ratio(k) / self.options["temperature"]) for k in present}, 1.0


class ByFigures(Windowed):
    def needs_figures(self):
        return self.is_last()

    def present(self, figures):
        """{task: its figure, within [0.01, 0.99]}"""
        return {
            k: min(0.99, max(0.01, figure))
            for k, figure in enumerate(figures)
            if self.counts[k] and figure is not None
        }


class Dtp(ByFigures):
    """Guo et al. 2018."""

    def __init__(self, config):
        super().__init__(config)
        self.kappa = {}

    def shares(self, figures):
        shares = {}
        for k, figure in self.present(figures).items():
            before = self.kappa.get(k, figure)
            kappa = self.kappa[k] = before + self.options["share"] * (figure - before)
            shares[k] = -((1 - kappa) ** self.options["focus"]) * math.log(kappa)
        return shares, 1.0


class Performance(ByFigures):
    """ω ← (1 − α) ω + α T κ_k / Σ κ"""

    def shares(self, figures):
        return self.present(figures), self.options["share"]


class Random(Balancer):
    """Lin et al. 2022: ω = T softmax(N(0, 1)), anew in each step."""

    def __init__(self, config):
        super().__init__(config)
        self.seed = config["train"].get("seed", 1)
        self.draw(0)

    def draw(self, step):
        stream = 0x62616C616E636500
        normal = [philox.normal(self.seed, stream + k, step) for k in range(len(self.tasks))]
        self.weights = normalised([math.exp(value) for value in normal], self.least)

    def move(self, losses, norms, figures):
        self.draw(self.steps + 1)


KINDS = {
    "fixed": Fixed,
    "uncertainty": Uncertainty,
    "gradnorm": GradNorm,
    "dwa": Dwa,
    "dtp": Dtp,
    "performance": Performance,
    "random": Random,
}


class TaskWeights:
    """Sums what the batches say until Σφ ≥ 1, then lets the balancer take one step; the first
    `warmup_steps` are at fixed weights."""

    def __init__(self, config):
        self.balancer = KINDS[config["balance"]["method"]](config)
        self.fixed = Fixed(config).weights
        self.warmup = config["balance"].get("warmup_steps", 0)
        self.steps = 0
        self.tasks = len(config["tasks"])
        self.clear()

    def clear(self):
        self.share = 0.0
        self.sums = [0.0] * self.tasks
        self.counts = [0] * self.tasks

    def weights(self):
        return list(self.fixed if self.steps < self.warmup else self.balancer.weights)

    def add(self, sums, counts, share):
        """Returns whether a step is due: `step` must follow."""
        self.sums = [a + (b or 0.0) for a, b in zip(self.sums, sums)]
        self.counts = [a + b for a, b in zip(self.counts, counts)]
        self.share += share
        return self.share >= 1 - 1e-9

    def step(self, norms, figures):
        self.balancer.step(self.sums, self.counts, norms, figures)
        self.steps += 1
        self.clear()
