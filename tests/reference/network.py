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
        return torch.cat([self.mlp(f"tower.{t}", v, True) for t, v in enumerate(inputs)], 1)

    def __call__(self, x):
        return self.towers(getattr(self, self.model["backbone"])(x))

    def mmoe(self, x):
        experts = torch.stack([self.mlp(f"expert.{e}", x) for e in range(self.model["experts"])])
        inputs = []
        for t in range(self.tasks):
            gate = torch.softmax(self.mlp(f"gate.{t}", x, True), 1)
            inputs.append(torch.einsum("be,ebh->bh", gate, experts))
        return inputs

    def penalties(self, share):
        """What is added to the loss that belongs to no task."""
        return []

    def shared_names(self):
        """The weights that several tasks share."""
        return [name for name in self.weights if not name.startswith(("tower.", "gate."))]

    def last_shared(self):
        """The last layer that all tasks share: of every expert."""
        layers = {}
        for name in self.weights:
            if name.startswith("expert.") and name.endswith(".weight"):
                expert, layer = name.split(".")[1], int(name.split(".")[3])
                layers[expert] = max(layer, layers.get(expert, 0))
        return [f"expert.{expert}.layer.{layer}.weight" for expert, layer in layers.items()]
