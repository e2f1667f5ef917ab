"""Philox-4x32-10 (Salmon et al. 2011), by which PCGrad's order and random weights are drawn."""

import math

MASK = 0xFFFFFFFF


def philox(seed, stream, counter):
    """Four 32-bit numbers."""
    c = [counter & MASK, counter >> 32, stream & MASK, stream >> 32]
    k0, k1 = seed & MASK, seed >> 32
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k0, b & MASK, (a >> 32) ^ c[3] ^ k1, a & MASK]
        k0, k1 = (k0 + 0x9E3779B9) & MASK, (k1 + 0xBB67AE85) & MASK
    return c


def normal(seed, stream, counter):
    """A standard normal number (Box and Muller 1958)."""
    a, b = ((bits + 0.5) / 2**32 for bits in philox(seed, stream, counter)[:2])
    return math.sqrt(-2 * math.log(a)) * math.cos(2 * math.pi * b)


def shuffled(order, seed, task, step):
    """`order` as PCGrad goes through the other tasks for `task` in step `step`."""
    order = list(order)
    for left in range(len(order), 1, -1):
        stream = 0x7063677261640000 ^ ((task << 16 | left) << 24)
        place = philox(seed, stream, step)[0] * left >> 32
        order[left - 1], order[place] = order[place], order[left - 1]
    return order
