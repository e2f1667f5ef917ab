"""What labels count in what is learned (train.labels): classes in balance, weights of tasks, a curriculum."""

import math

from losses import is_binary


class LabelTools:
    """Judges a batch by the labels that came before it."""

    LENGTH = 100_000

    def __init__(self, config):
        self.tasks = config["tasks"]
        self.options = config["train"].get("labels", {})
        self.labels = [0] * len(self.tasks)  # of a binary task its 1s
        self.counted = [0] * len(self.tasks)
        self.share = [0.0] * len(self.tasks)
        self.joined = [not self.options.get("curriculum")] * len(self.tasks)

    def begin(self, steps):
        """A batch begins after so many full batches' worth of them."""
        curriculum = self.options.get("curriculum", {})
        at_step, least = curriculum.get("steps", {}), curriculum.get("labels", 0)
        in_turn = [n for task, n in zip(self.tasks, self.labels) if task["name"] not in at_step]
        for k, (task, n) in enumerate(zip(self.tasks, self.labels)):
            if task["name"] in at_step:
                joins = steps >= at_step[task["name"]]
            else:
                joins = n >= least or (n > 0 and n == max(in_turn))
            self.joined[k] = self.joined[k] or joins

    def classes(self, k):
        """What a 1 and a 0 weigh, and what is added to the logit that the loss sees."""
        ratio = self.options.get("ratio", {}).get(self.tasks[k]["name"])
        if ratio is None:
            return 1.0, 1.0, 0.0
        ones = (self.share[k] * self.counted[k] + 0.5) / (self.counted[k] + 1)
        rate = min(1.0, ratio * ones / (1 - ones))
        mean = ones + rate * (1 - ones)
        return 1 / mean, rate / mean, -math.log(rate)

    def weigh(self, weights):
        """By effective number (Cui et al. 2019) and copies; their sum stays."""
        beta, copies = self.options.get("effective_count", 0), self.options.get("oversample", {})
        weighed = [
            w * copies.get(task["name"], 1) * ((1 - beta) / (1 - beta ** max(n, 1)) if beta else 1)
            for w, task, n in zip(weights, self.tasks, self.labels)
        ]
        return [w * sum(weights) / sum(weighed) for w in weighed]

    def add(self, labels):
        """`labels` [B, T], NaN where missing."""
        for k, task in enumerate(self.tasks):
            known = [label for label in labels[:, k].tolist() if not math.isnan(label)]
            if not known:
                continue
            ones = sum(label > 0.5 for label in known)
            self.labels[k] += ones if is_binary(task) else len(known)
            fading = 1 - (1 - 1 / self.LENGTH) ** len(known)
            weight = max(len(known) / (self.counted[k] + len(known)), fading)
            self.share[k] += weight * (ones / len(known) - self.share[k])
            self.counted[k] = min(self.counted[k] + len(known), self.LENGTH)
