"""Backbones and towers, written from the papers' formulas: x [B, D] to one logit a task.

Weights are named as in the files of `millrace bench parity`; a weight is [inputs, outputs]."""

import torch


class Network:
    def __init__(self, config, weights, dtype):
        self.model = config["model"]
        self.tasks = len(config["tasks"])
        self.weights = {
            name: torch.tensor(array, dtype=dtype, requires_grad=True) for name, array in weights.items()
        }

    def mlp(self, name, x, last_is_linear=False):
        """Dense layers with ReLU (the last one linear where asked for)."""
        layer = 0
        while f"{name}.layer.{layer}.weight" in self.weights:
            more = f"{name}.layer.{layer + 1}.weight" in self.weights
            x = x @ self.weights[f"{name}.layer.{layer}.weight"]
            if f"{name}.layer.{layer}.bias" in self.weights:
                x = x + self.weights[f"{name}.layer.{layer}.bias"]
            if more or not last_is_linear:
                x = torch.relu(x)
            layer += 1
        return x

    def towers(self, inputs):
        """One input matrix a task → z [B, T]."""
        self.outputs = [self.mlp(f"tower.{t}", v, True) for t, v in enumerate(inputs)]
        return torch.cat(self.outputs, 1)

    def __call__(self, x):
        return self.towers(getattr(self, self.model["backbone"])(x))

    def gate(self, name, x):
        """[B, experts], rows that sum to 1."""
        return torch.softmax(self.mlp(name, x, True), 1)

    @staticmethod
    def mixed(gate, experts):
        return torch.einsum("be,ebh->bh", gate, torch.stack(experts))

    def shared_bottom(self, x):
        return [self.mlp("bottom.0", x)] * self.tasks

    def mmoe(self, x):
        experts = [self.mlp(f"expert.{e}", x) for e in range(self.model["experts"])]
        gates = [0 if self.model.get("one_gate") else t for t in range(self.tasks)]
        return [self.mixed(self.gate(f"gate.{g}", x), experts) for g in gates]

    def shared_specific(self, x):
        shared, inputs = self.mlp("bottom.0", x), []
        for t in range(self.tasks):
            own = self.mlp(f"task_bottom.{t}", x)
            if self.model.get("shared_mix", "concat") == "concat":
                inputs.append(torch.cat([own, shared], 1))
            else:
                own_share, shared_share = torch.softmax(self.weights[f"similarity.{t}.layer.0.weight"][0], 0)
                inputs.append(own_share * own + shared_share * shared)
        return inputs

    def stem(self, x):
        """`x`: T inputs and the shared one. Other tasks' experts are read, and not taught."""
        *streams, shared = x
        for level in range(self.model["stem_levels"]):
            prefix = f"level.{level}." if self.model["stem_levels"] > 1 else ""
            own = [
                [self.mlp(f"{prefix}task_expert.{t}.{i}", s) for i in range(self.model["task_experts"])]
                for t, s in enumerate(streams)
            ]
            common = [self.mlp(f"{prefix}expert.{i}", shared) for i in range(self.model["shared_experts"])]
            mixed = []
            for t, s in enumerate(streams):
                experts = [e if k == t else e.detach() for k, of_task in enumerate(own) for e in of_task]
                reads = s + shared if self.model["stem_gate_input"] == "sum" else s
                mixed.append(self.mixed(self.gate(f"{prefix}gate.{t}", reads), experts + common))
            if level + 1 < self.model["stem_levels"]:
                detached = [e.detach() for of_task in own for e in of_task]
                shared = self.mixed(self.gate(f"{prefix}shared_gate.0", shared), detached + common)
            streams = mixed
        return streams

    def cgc(self, x):
        return self.level("", [x] * self.tasks, x)[0]

    def ple(self, x):
        levels, streams, shared = self.model["levels"], [x] * self.tasks, x
        for level in range(levels):
            prefix = f"level.{level}." if levels > 1 else ""
            streams, shared = self.level(prefix, streams, shared, level == levels - 1)
        return streams

    def level(self, prefix, streams, shared, last=True):
        """Each task's mixture of its own and the shared experts; and the next shared stream."""
        own = [
            [self.mlp(f"{prefix}task_expert.{t}.{i}", x) for i in range(self.model["task_experts"])]
            for t, x in enumerate(streams)
        ]
        common = [self.mlp(f"{prefix}expert.{i}", shared) for i in range(self.model["shared_experts"])]
        mixed = [
            self.mixed(self.gate(f"{prefix}gate.{t}", x), own[t] + common) for t, x in enumerate(streams)
        ]
        if last:
            return mixed, None
        kind = self.model.get("shared_gate", "all")
        if kind == "none":
            return mixed, mixed[0]
        everything = sum(own, []) if kind == "all" else []
        return mixed, self.mixed(self.gate(f"{prefix}shared_gate.0", shared), everything + common)

    def penalties(self, share):
        """What is added to the loss that belongs to no task."""
        return []

    def shared_names(self):
        """The weights that more than one task's output depends on, by the graph of the last z.
        (By the outputs before they are put together: a column's slope reaches all of them.)"""
        readers = dict.fromkeys(self.weights, 0)
        for output in self.outputs:
            found = torch.autograd.grad(
                output.sum(), list(self.weights.values()), allow_unused=True, retain_graph=True
            )
            for name, gradient in zip(self.weights, found):
                readers[name] += gradient is not None
        return [name for name, count in readers.items() if count > 1]

    def last_shared(self):
        """The last layer that all tasks share: of every expert, of a top level's shared ones, or of
        the bottom."""
        backbone = self.model["backbone"]
        levels = self.model.get({"ple": "levels", "stem": "stem_levels"}.get(backbone), 1)
        if backbone in ("shared_bottom", "shared_specific"):
            prefix = "bottom."
        elif levels > 1:
            prefix = f"level.{levels - 1}.expert."
        else:
            prefix = "expert."
        layers = {}
        for name in self.weights:
            if name.startswith(prefix) and name.endswith(".weight"):
                expert, layer = name.removesuffix(".weight").split(".layer.")
                layers[expert] = max(int(layer), layers.get(expert, 0))
        return [f"{expert}.layer.{layer}.weight" for expert, layer in layers.items()]
