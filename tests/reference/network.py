"""Backbones and towers, written from the papers' formulas: x [B, D] to one logit a task.

Weights are named as in the files of `millrace bench parity`; a weight is [inputs, outputs]."""

import torch

NORM_ROWS = 2_560
STATISTICS = (".mean", ".variance", ".known")  # of normalised experts


class Network:
    """`fixed`: weights that no gradient moves (a measured mix). `unclear`: the ReLUs of the last pass
    whose input may be on either side of 0 in float; `turned`: those of the next one whose slope is
    that of the side where double does not see them."""

    ROUNDING = 1e-5

    def __init__(self, config, weights, dtype):
        self.model = config["model"]
        self.tasks = len(config["tasks"])
        measured = self.model["backbone"] == "shared_specific" and self.model.get("shared_mix") == "measured"
        self.weights, self.fixed = {}, {}
        self.unclear, self.turned = [], set()
        for name, array in weights.items():
            is_fixed = name.endswith(STATISTICS) or (measured and name.startswith("similarity."))
            of = self.fixed if is_fixed else self.weights
            of[name] = torch.tensor(array, dtype=dtype, requires_grad=not is_fixed)

    def mlp(self, name, x, last_is_linear=False):
        """Dense layers with ReLU (the last one linear where asked for)."""
        layer = 0
        while f"{name}.layer.{layer}.weight" in self.weights:
            w, b = (self.weights.get(f"{name}.layer.{layer}.{part}") for part in ("weight", "bias"))
            more = f"{name}.layer.{layer + 1}.weight" in self.weights
            u = x @ w if b is None else x @ w + b
            if f"{name}.layer.{layer}.scale" in self.weights:
                x = self.normalised(f"{name}.layer.{layer}", u)
            elif more or not last_is_linear:
                size = x.detach().abs() @ w.detach().abs() + (0 if b is None else b.detach().abs())
                x = self.relu(f"{name}.layer.{layer}", u, size)
            else:
                x = u
            layer += 1
        return x

    def relu(self, name, u, size):
        """`size`: what u would be without any cancellation. Notes inputs that are 0 to within float's
        rounding, and takes the other slope where `turned` says so."""
        on = u.detach() > 0
        unclear = (u.detach().abs() < self.ROUNDING * size).nonzero().tolist()
        for row, unit in unclear:
            place = (name, row, unit)
            self.unclear.append(place)
            if place in self.turned:
                on[row, unit] = ~on[row, unit]
        return u * on

    def normalised(self, name, a):
        """By statistics of the rows before this batch, then Swish."""
        self.last[name] = a.detach()
        h = (a - self.fixed[name + ".mean"]) / torch.sqrt(self.fixed[name + ".variance"] + 1e-5)
        h = h * self.weights[name + ".scale"] + self.weights[name + ".shift"]
        return h * torch.sigmoid(h)

    def follow(self, kept=()):
        """The statistics take the last pass's rows in: a mean of all rows up to NORM_ROWS, then
        fading. Those of weights named `kept` stay."""
        for name, a in self.last.items():
            if name + ".scale" in kept:
                continue
            mean, variance, known = (self.fixed[name + what] for what in STATISTICS)
            n, count = len(a), known.item() * NORM_ROWS
            share = max(n / (count + n), 1 - (1 - 1 / NORM_ROWS) ** n)
            step = a.mean(0) - mean
            variance *= 1 - share
            variance += (1 - share) * share * step**2 + share * a.var(0, correction=0)
            mean += share * step
            known.fill_(min(1, (count + n) / NORM_ROWS))

    def towers(self, inputs):
        """One input matrix a task → z [B, T]."""
        self.outputs = [self.mlp(f"tower.{t}", v, True) for t, v in enumerate(inputs)]
        return torch.cat(self.outputs, 1)

    def __call__(self, x):
        self.gates, self.unclear, self.last = [], [], {}
        return self.towers(getattr(self, self.model["backbone"])(x))

    def gate(self, name, x):
        """[B, experts], rows that sum to 1."""
        temperature = self.model.get("gate_temperature", 1.0)
        if self.model.get("learn_temperature"):
            rho = self.weights[f"{name}.layer.{len(self.model.get('gate_layers', []))}.temperature"]
            temperature = self.model.get("least_temperature", 0.1) + torch.nn.functional.softplus(rho)
        g = torch.softmax(self.mlp(name, x, True) / temperature, 1)
        self.gates.append(g)
        return g

    @staticmethod
    def mixed(gate, experts):
        return torch.einsum("be,ebh->bh", gate, torch.stack(experts))

    def shared_bottom(self, x):
        return [self.mlp("bottom.0", x)] * self.tasks

    def mmoe(self, x):
        experts = [self.mlp(f"expert.{e}", x) for e in range(self.model["experts"])]
        count = 1 if self.model.get("one_gate") else self.tasks
        mixed = [self.mixed(self.gate(f"gate.{g}", x), experts) for g in range(count)]
        return mixed * (self.tasks // count)

    def shared_specific(self, x):
        shared, inputs = self.mlp("bottom.0", x), []
        for t in range(self.tasks):
            own = self.mlp(f"task_bottom.{t}", x)
            if self.model.get("shared_mix", "concat") == "concat":
                inputs.append(torch.cat([own, shared], 1))
            else:
                own_share, shared_share = self.shares(t)
                inputs.append(own_share * own + shared_share * shared)
        return inputs

    def separate(self, x):
        return [self.mlp(f"task_bottom.{t}", x) for t in range(self.tasks)]

    def shares(self, task):
        """Of its own and of the shared bottom in a task's mix: measured, or softmax of learned logits."""
        name = f"similarity.{task}.layer.0.weight"
        return self.fixed[name][0] if name in self.fixed else torch.softmax(self.weights[name][0], 0)

    def set_similarity(self, task, similarity):
        name = f"similarity.{task}.layer.0.weight"
        if name in self.fixed and similarity is not None:
            self.fixed[name] = torch.tensor([[1 - similarity, similarity]], dtype=self.fixed[name].dtype)

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

    def penalties(self):
        """What is added to the loss that belongs to no task: −λ H(g) of each gate, in the mean over the
        batch; and λ times the squared coefficient of variation of each gate's sums over the batch."""
        entropy, balance = self.model.get("gate_entropy", 0), self.model.get("load_balance", 0)
        parts = [entropy * torch.xlogy(g, g).sum(1).mean() for g in self.gates] if entropy else []
        sums = [g.sum(0) for g in self.gates] if balance else []
        return parts + [balance * i.var(correction=0) / i.mean() ** 2 for i in sums]

    def shared_names(self):
        """The weights that more than one task's output depends on, by the graph of the last z.
        (By the outputs before they are put together: a column's slope reaches all of them.) With one
        task, those that another one's would."""
        if self.tasks == 1:
            return [name for name in self.weights if self.is_common(name)]
        readers = dict.fromkeys(self.weights, 0)
        for output in self.outputs:
            found = torch.autograd.grad(
                output.sum(), list(self.weights.values()), allow_unused=True, retain_graph=True
            )
            for name, gradient in zip(self.weights, found):
                readers[name] += gradient is not None
        return [name for name, count in readers.items() if count > 1]

    def own_names(self):
        """{name: the one task whose output the weight reaches}, after a pass."""
        common = set(self.shared_names())
        own = {}
        for task, output in enumerate(self.outputs):
            found = torch.autograd.grad(
                output.sum(), list(self.weights.values()), allow_unused=True, retain_graph=True
            )
            reached = (name for name, gradient in zip(self.weights, found) if gradient is not None)
            own.update({name: task for name in reached if name not in common})
        return own

    def is_common(self, name):
        """Whether the weight is nobody's own, by its name."""
        levels = self.model.get("levels", 1) if self.model["backbone"] == "ple" else 1
        above = levels - 1
        if name.startswith("level."):
            _, level, name = name.split(".", 2)
            above = levels - 1 - int(level)
        if name.startswith(("expert.", "bottom.", "shared_gate.")):
            return True
        if name.startswith("gate."):
            kind = self.model.get("shared_gate", "all")
            through = {"all": above > 1, "none": above > 0}.get(kind, False)
            return bool(self.model.get("one_gate")) or (levels > 1 and through)
        reached = levels > 1 and self.model.get("shared_gate", "all") != "shared" and above > 0
        return name.startswith("task_expert.") and reached

    def last_shared(self):
        """The last layer that all tasks share, if there is one: of every expert, of a top level's shared ones, or of
        the bottom."""
        backbone = self.model["backbone"]
        if backbone == "separate":
            return []
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
