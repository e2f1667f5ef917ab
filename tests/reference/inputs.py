"""From samples to the network's input, by the formulas of ops/docs/parity.md."""

import bisect
import json
import math

import torch


def is_embedded(feature):
    """Whether a feature's values are looked up: numbers with boundaries are by their bucket."""
    return feature["type"] in ("categorical", "bag", "cross") or is_bucketised(feature)


def is_bucketised(feature):
    return "boundaries" in feature or "buckets" in feature


def boundaries_of(feature):
    """As given, or of buckets of equal width in the transformed number."""
    if "boundaries" in feature:
        return feature["boundaries"]
    transform = feature.get("transform")
    least, most = (transformed(end, transform) for end in feature["range"])
    step = (most - least) / feature["buckets"]
    return [transformed_back(least + i * step, transform) for i in range(1, feature["buckets"])]


def text_of(value):
    """What a categorical value is looked up by: 7 and "7" are one key."""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def transformed(value, transform):
    return math.copysign(math.log1p(abs(value)), value) if transform == "log1p" else value


def transformed_back(value, transform):
    return math.copysign(math.expm1(abs(value)), value) if transform == "log1p" else value


class Moments:
    """Running mean and variance of one numeric feature: all values alike up to 20,000 of them, then
    fading with that length."""

    LENGTH = 20_000

    def __init__(self):
        self.count = self.mean = self.variance = 0.0

    def standardised(self, value):
        if value is None or self.variance <= 1e-20 * self.mean**2:
            return 0.0
        return min(8.0, max(-8.0, (value - self.mean) / math.sqrt(self.variance)))

    def add(self, values):
        values = [value for value in values if value is not None]
        if not values:
            return
        n = len(values)
        mean = sum(values) / n
        variance = sum((value - mean) ** 2 for value in values) / n
        share = max(n / (self.count + n), 1 - (1 - 1 / self.LENGTH) ** n)
        step = mean - self.mean
        self.mean += share * step
        self.variance = (1 - share) * (self.variance + share * step**2) + share * variance
        self.count = min(self.count + n, self.LENGTH)


class Inputs:
    """x [B, D]: the context's features, then the others, each group in the configuration's order.

    `rows`: {table: (texts, values [n, dimension])}; the values are leaves that get gradients.
    With `groups` an embedding has as many parts, and x is a list: group g takes part g of each, and
    all of what is no embedding."""

    def __init__(self, features, rows, dtype, groups=0):
        self.groups = groups
        self.named = {f["name"]: f for f in features}
        self.features = [f for f in features if self.is_context(f)]
        self.features += [f for f in features if not self.is_context(f)]
        self.dtype = dtype
        self.index = {table: {text: i for i, text in enumerate(texts)} for table, (texts, _) in rows.items()}
        self.rows = {
            table: torch.tensor(values, dtype=dtype, requires_grad=True)
            for table, (_, values) in rows.items()
        }
        self.moments = {
            f["name"]: Moments()
            for f in features
            if f["type"] == "numeric" and not is_embedded(f) and f.get("standardize", True)
        }

    def is_context(self, feature):
        """A cross is where all its parts are."""
        parts = [self.named[name] for name in feature.get("of", [])] or [feature]
        return all(part.get("context", False) for part in parts)

    @staticmethod
    def table_of(feature):
        return feature.get("table", feature["name"])

    def keys(self, feature, sample):
        """The texts of one row's values, none where the feature, or a part of a cross, is missing."""
        if feature["type"] == "cross":
            parts = {name: self.keys(self.named[name], sample) for name in feature["of"]}
            if not all(parts.values()):
                return []
            texts = {name: text for name, (text,) in parts.items()}
            return [json.dumps(texts, separators=(",", ":"))]
        value = sample["features"].get(feature["name"])
        if value is None:
            return []
        if is_bucketised(feature):
            return [str(bisect.bisect_right(boundaries_of(feature), value))]
        return [text_of(one) for one in (value if feature["type"] == "bag" else [value])]

    def pooled(self, feature, samples):
        """[B, dimension]: the sum of a row's embeddings, or their mean over all its elements."""
        index, values = self.index[self.table_of(feature)], self.rows[self.table_of(feature)]
        places, owners, shares = [], [], []
        for r, sample in enumerate(samples):
            keys = self.keys(feature, sample)
            mean = feature["type"] == "bag" and feature.get("pooling", "mean") == "mean"
            for key in keys:
                places.append(index[key])
                owners.append(r)
                shares.append(1 / len(keys) if mean else 1.0)
        out = torch.zeros(len(samples), values.shape[1], dtype=self.dtype)
        if not places:
            return out
        weighted = values[places] * torch.tensor(shares, dtype=self.dtype)[:, None]
        return out.index_add(0, torch.tensor(owners), weighted)

    def number(self, feature, sample):
        value = sample["features"].get(feature["name"])
        return None if value is None else transformed(value, feature.get("transform"))

    def column(self, feature, samples):
        if is_embedded(feature):
            return self.pooled(feature, samples)
        if feature["type"] == "numeric":
            values = [self.number(feature, sample) for sample in samples]
            if feature["name"] in self.moments:
                values = [self.moments[feature["name"]].standardised(value) for value in values]
            return torch.tensor([[value or 0.0] for value in values], dtype=self.dtype)
        zeros = [0.0] * feature["width"]
        vectors = [sample["features"].get(feature["name"]) or zeros for sample in samples]
        return torch.tensor(vectors, dtype=self.dtype)

    def __call__(self, samples):
        columns = [self.column(feature, samples) for feature in self.features]
        if not self.groups:
            return torch.cat(columns, 1)
        embedded = [is_embedded(feature) for feature in self.features]
        return [
            torch.cat([c.chunk(self.groups, 1)[g] if own else c for c, own in zip(columns, embedded)], 1)
            for g in range(self.groups)
        ]

    def touched(self, samples):
        """{table: places of the rows that the batch uses}."""
        touched = {table: set() for table in self.rows}
        for feature in self.features:
            if is_embedded(feature):
                table = self.table_of(feature)
                for sample in samples:
                    touched[table].update(self.index[table][key] for key in self.keys(feature, sample))
        return {table: sorted(places) for table, places in touched.items()}

    def learned(self, samples):
        """Takes the batch's numbers into the statistics, after the step."""
        for feature in self.features:
            if feature["name"] in self.moments:
                values = [self.number(feature, sample) for sample in samples]
                self.moments[feature["name"]].add(values)
