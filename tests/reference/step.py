"""One training step after another, from a configuration, weights and batches."""

import copy
import json

import torch

import losses
import surgery
from balance import TaskWeights
from inputs import Inputs
from labels import LabelTools
from network import Network
from optimisers import Dense, Rows
from relations import LastShared, Performance, Similarity


class Shares:
    """π_k: the share of rows with a label, a mean of all rows up to 10,000, then fading; since its
    first label, where the first 1,000 rows had none."""

    LENGTH, WITHOUT_LABEL = 10_000, 1_000

    def __init__(self, tasks):
        self.rows, self.share = [0.0] * tasks, [0.0] * tasks

    def add(self, n, counts):
        for k, count in enumerate(counts):
            if self.share[k] == 0 and self.rows[k] >= self.WITHOUT_LABEL and count > 0:
                self.rows[k] = 0.0
            weight = max(n / (self.rows[k] + n), 1 - (1 - 1 / self.LENGTH) ** n)
            self.share[k] += weight * (count / n - self.share[k])
            self.rows[k] = min(self.rows[k] + n, self.LENGTH)


class Reference:
    """`arrays`, `texts`: a file of weights. Everything is computed in `dtype`."""

    def __init__(self, config, arrays, texts, dtype=torch.float64):
        self.config, self.dtype = config, dtype
        rows = {}
        dense = {}
        for name, array in arrays.items():
            if name.startswith("embedding."):
                rows[name.removeprefix("embedding.")] = (json.loads(texts[name + ".keys"]), array)
            else:
                dense[name] = array
        groups = len(config["tasks"]) + 1 if config["model"]["backbone"] == "stem" else 0
        self.inputs = Inputs(config["features"], rows, dtype, groups)
        self.network = Network(config, dense, dtype)
        self.dense = Dense(config["train"]["dense"], self.network.weights)
        self.rows = Rows(config["train"]["embedding"], self.inputs.rows)
        self.weights = TaskWeights(config)
        self.tools = LabelTools(config)
        self.shares = Shares(len(config["tasks"]))
        relations = config.get("relations", {})
        self.every = relations.get("every", 16)
        self.similarity = Similarity(len(config["tasks"]), relations.get("steps", 1000))
        self.last_shared = LastShared(len(config["tasks"]))
        self.performance = Performance(config["tasks"])
        self.shared = self.own = None
        self.steps = 0

    def copy(self):
        """Between two steps."""
        self.network.outputs = self.network.gates = []
        return copy.deepcopy(self)

    def step(self, samples):
        """Returns {task: (mean loss, weight)}."""
        tasks, n, full = self.config["tasks"], len(samples), self.config["train"]["batch"]
        z = self.network(self.inputs(samples))
        labels = losses.labels_of(tasks, samples, self.dtype)
        row_weights = losses.weights_of(samples, self.dtype)
        self.tools.begin(self.dense.shares)
        sums, counts = losses.task_sums(tasks, z, labels, row_weights, self.tools.classes)
        weights = self.tools.weigh(self.weights.weights())
        self.tools.add(labels)
        joined = list(self.tools.joined)
        if not any(count and joins for count, joins in zip(counts, joined)):
            self.performance.add(z.detach(), labels, row_weights, learned=False)
            return {task["name"]: (None, w) for task, w in zip(tasks, weights)}  # only measured
        self.shares.add(n, counts)
        norms = counts if n == full else [n * share for share in self.shares.share]
        sums = [value if joins else None for value, joins in zip(sums, joined)]
        counts = [count if joins else 0 for count, joins in zip(counts, joined)]
        parts = [
            None if s is None or w == 0 else w / norm * s for w, norm, s in zip(weights, norms, sums)
        ]
        leaves = {**self.network.weights, **{"embedding." + t: w for t, w in self.inputs.rows.items()}}
        if self.measures():
            self.last_shared.add(self.last_gradients(sums, weights))
        by_task = None
        if self.config["train"]["dense"].get("task_states"):
            by_task = [None if part is None else self.gradients(part, leaves) for part in parts]
            gradients = {name: sum(g[name] for g in by_task if g is not None) for name in leaves}
        elif self.config["balance"].get("surgery", "none") == "none":
            value = sum(part for part in parts + self.network.penalties() if part is not None)
            gradients = self.gradients(value, leaves)
        else:
            gradients = self.operated(parts, leaves, self.shared_names())
        share = n / full
        values = [None if s is None else s.item() for s in sums]
        self.performance.add(z.detach(), labels, row_weights)
        self.balance(values, counts, share)
        kept = self.names_of([k for k, joins in enumerate(joined) if not joins])
        self.dense.step(self.network.weights, gradients, share, by_task, by_task and self.shared_names(), kept)
        self.network.follow(kept)
        rows = {table: n * gradients["embedding." + table] for table in self.inputs.rows}
        self.rows.step(self.inputs.rows, rows, self.inputs.touched(samples), share)
        self.inputs.learned(samples)
        self.steps += 1
        return {
            task["name"]: (None if v is None else v / c, w)
            for task, v, c, w in zip(tasks, values, counts, weights)
        }

    def shared_names(self):
        """Of weights that more than one task's output reaches; the graph is the same in every step."""
        if self.shared is None:
            self.shared = self.network.shared_names()
        return self.shared

    def names_of(self, tasks):
        """Of weights that no other task's output reaches."""
        if tasks and self.own is None:
            self.own = self.network.own_names()
        return {name for name, task in (self.own or {}).items() if task in tasks}

    def measures_relations(self):
        tasks = len(self.config["tasks"])
        return tasks > 1 and self.network.last_shared() and self.every > 0 and self.weights.steps % self.every == 0

    def measures(self):
        return self.weights.balancer.needs_norms() or self.measures_relations()

    @staticmethod
    def gradients(value, leaves):
        """Of every leaf; zeros where the value does not depend on it."""
        found = torch.autograd.grad(value, list(leaves.values()), allow_unused=True, retain_graph=True)
        return {
            name: torch.zeros_like(leaf) if g is None else g for (name, leaf), g in zip(leaves.items(), found)
        }

    def last_gradients(self, sums, weights):
        """Each task's slopes of its sum of losses in the last shared layer, one vector, or None."""
        leaves = {name: self.network.weights[name] for name in self.network.last_shared()}
        found = [
            None if value is None or weight == 0 else self.gradients(value, leaves)
            for value, weight in zip(sums, weights)
        ]
        return [None if g is None else torch.cat([part.ravel() for part in g.values()]) for g in found]

    def balance(self, values, counts, share):
        if not self.weights.add(values, counts, share):
            return
        norms = figures = None
        if self.measures():
            gram = self.last_shared.gram(self.weights.counts)
            norms = [None if gram[k][k] is None else gram[k][k] ** 0.5 for k in range(len(gram))]
            if self.measures_relations():
                self.similarity.add(gram)
                for k in range(len(gram)):
                    self.network.set_similarity(k, self.similarity.of(k))
        if self.weights.balancer.needs_figures():
            figures = self.performance.take()
        self.weights.step(norms, figures)

    def operated(self, parts, leaves, shared):
        """Task by task; those of shared weights and of rows after surgery, of others summed."""
        options = self.config["balance"]
        found = [None if part is None else self.gradients(part, leaves) for part in parts]
        masks = self.shared_places(leaves, shared)
        flat = [None if g is None else torch.cat([g[name][masks[name]] for name in leaves]) for g in found]
        if options["surgery"] == "pcgrad":
            total = surgery.pcgrad(flat, self.config["train"].get("seed", 1), self.steps)
        else:
            total = surgery.cagrad(flat, options["cagrad_radius"])
        gradients = {name: sum(g[name] for g in found if g is not None) for name in leaves}
        for name in leaves:
            count = int(masks[name].sum())
            gradients[name][masks[name]], total = total[:count], total[count:]
        return gradients

    def shared_places(self, leaves, shared):
        """{name: which of its values more than one task's output reaches}. Of a row that has a part
        of its own for every task, the last part."""
        masks = {name: torch.full(leaf.shape, name in shared) for name, leaf in leaves.items()}
        for name, mask in masks.items():
            if name.startswith("embedding."):
                mask[:, -(mask.shape[1] // max(1, self.inputs.groups)) :] = True
        return masks

    def arrays(self):
        """The weights by name, as in a file."""
        dense = {**self.network.weights, **self.network.fixed}
        arrays = {name: w.detach().numpy() for name, w in dense.items()}
        for table, w in self.inputs.rows.items():
            arrays["embedding." + table] = w.detach().numpy()
        return arrays
