"""Second-order MAML: meta-gradients per second, beside `higher` and TorchOpt.

All three differentiate through the same inner steps of the same 64-64-1 network on the same tasks;
their meta-gradients are compared before anything is timed. They are timed in alternating rounds of
one process, and medians are reported. The peers adapt one task after another, as their interfaces
and documentation have it, so the size of the batch is nothing to them; ours adapts the batch at
once, at the size that is fastest here. Install them with the extra ``bench``.

The share of the matrix-product rate is the time that the step's matrix products take when they run
alone, with the same operands, over the time of the step: 1 would be a step that does nothing else.
It is stated twice: with the operands as the step meets them, mostly cold, and with operands that
are in cache, which is what the processor could do. Then follows every algorithm of ``params.yaml``,
with its own network (``algorithm_cost.py``).

``--threads`` are torch's, and 1 for all by default: the tensors of one task are too small for torch
to split, so more threads change nothing for the peers. Ours are split, and at the end of every
split operation OpenMP spins until the last thread is done: where other processes hold the cores,
it waits for them, and our speed collapses. ``OMP_WAIT_POLICY=passive`` lets threads sleep instead.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import higher
import torch
import torchopt
from torch import Tensor, nn

from coldstart.algorithms import ALGORITHMS
from coldstart.algorithms._inner_loop import SGD, descend
from coldstart.algorithms._network import hidden
from coldstart.training.allocator import keep_freed_memory
from matmul_share import matmul_share, medians

BATCHES, PEER_BATCH = (16, 32, 64, 128, 256, 512), 64
SHOTS, QUERY, STEPS, RATE = 10, 10, 5, 0.05
INPUTS, HIDDEN = 64, 64

Tasks = tuple[Tensor, Tensor, Tensor, Tensor]  # x_BSI, y_BS, x_BQI, y_BQ
Gradient = dict[str, Tensor]
NAMES = ("w1_DH", "b1_1H", "w2_HH", "b2_1H", "w3_H1", "b3_11")


def tasks(dtype: torch.dtype, size: int) -> Tasks:
    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    return (
        normal(size, SHOTS, INPUTS),
        normal(size, SHOTS),
        normal(size, QUERY, INPUTS),
        normal(size, QUERY),
    )


def network(dtype: torch.dtype) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(INPUTS, HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, 1),
    ).to(dtype)


def weights(net: nn.Sequential) -> dict[str, Tensor]:
    """The same parameters in our layout: ``x @ W + b``."""
    values = [
        p.detach().T.contiguous() if p.dim() == 2 else p.detach()[None] for p in net.parameters()
    ]
    return dict(zip(NAMES, values, strict=True))


def ours(net: nn.Sequential, batch: Tasks) -> Callable[[], Gradient]:
    """The inner loop and network that every gradient-based algorithm of coldstart uses."""
    x_BSI, y_BS, x_BQI, y_BQ = batch
    theta = {name: value.requires_grad_() for name, value in weights(net).items()}

    def score(w: dict[str, Tensor], x_BIJ: Tensor) -> Tensor:
        g_BIH = hidden(w, x_BIJ, torch.zeros(()))
        return (g_BIH @ w["w3_H1"] + w["b3_11"]).squeeze(-1)

    def loss(w: dict[str, Tensor]) -> Tensor:
        return (score(w, x_BSI) - y_BS).square().mean(1)

    def step() -> Gradient:
        start = {name: value.expand(len(y_BS), *value.shape) for name, value in theta.items()}
        end = descend(loss, start, STEPS, SGD(RATE), second_order=True)
        total = (score(end, x_BQI) - y_BQ).square().mean(1).mean()
        gradients = torch.autograd.grad(total, list(theta.values()))
        return dict(zip(theta, gradients, strict=True))

    return step


def _collected(net: nn.Sequential) -> Gradient:
    gradients = [p.grad for p in net.parameters() if p.grad is not None]
    values = [gradient.T if gradient.dim() == 2 else gradient[None] for gradient in gradients]
    return {name: value.clone() for name, value in zip(NAMES, values, strict=True)}


def with_higher(net: nn.Sequential, batch: Tasks) -> Callable[[], Gradient]:
    optimiser = torch.optim.SGD(net.parameters(), lr=RATE)

    def step() -> Gradient:
        net.zero_grad(set_to_none=True)
        for xs, ys, xq, yq in zip(*batch, strict=True):
            with higher.innerloop_ctx(net, optimiser, copy_initial_weights=False) as (
                fnet,
                diffopt,
            ):
                for _ in range(STEPS):
                    diffopt.step((fnet(xs).squeeze(1) - ys).square().mean())
                ((fnet(xq).squeeze(1) - yq).square().mean() / len(batch[0])).backward()
        return _collected(net)

    return step


def with_torchopt(net: nn.Sequential, batch: Tasks) -> Callable[[], Gradient]:
    optimiser = torchopt.MetaSGD(net, lr=RATE)

    def step() -> Gradient:
        net.zero_grad(set_to_none=True)
        net_state = torchopt.extract_state_dict(net, by="reference", detach_buffers=True)
        state = torchopt.extract_state_dict(optimiser, by="reference")
        for xs, ys, xq, yq in zip(*batch, strict=True):
            for _ in range(STEPS):
                optimiser.step((net(xs).squeeze(1) - ys).square().mean())
            ((net(xq).squeeze(1) - yq).square().mean() / len(batch[0])).backward()
            torchopt.recover_state_dict(net, net_state)
            torchopt.recover_state_dict(optimiser, state)
        return _collected(net)

    return step


METHODS = {"coldstart": ours, "higher": with_higher, "torchopt": with_torchopt}


def check() -> float:
    """Largest difference of any meta-gradient from ours, over the largest entry; in float64."""
    batch = tasks(torch.float64, PEER_BATCH)
    results = {name: make(network(torch.float64), batch)() for name, make in METHODS.items()}
    reference = results["coldstart"]
    worst = max(
        float((gradient[name] - reference[name]).abs().max() / reference[name].abs().max())
        for gradient in results.values()
        for name in NAMES
    )
    assert worst < 1e-5, f"meta-gradients differ by {worst:.2e}"
    return worst


def best_batch(rounds: int) -> int:
    """The batch size at which ours has most tasks per second."""
    net, most = network(torch.float32), max(BATCHES)
    steps = {size: (ours(net, tasks(torch.float32, size)), most // size) for size in BATCHES}
    taken = medians(steps, rounds)
    return max(BATCHES, key=lambda size: size / taken[size])


def measure(batch: int, rounds: int) -> dict[str, float]:
    """Median tasks per second of each method in alternating rounds, float32."""
    sizes = {name: batch if name == "coldstart" else PEER_BATCH for name in METHODS}
    repeats = {name: 10 if name == "coldstart" else 1 for name in METHODS}
    steps = {
        name: (make(network(torch.float32), tasks(torch.float32, sizes[name])), repeats[name])
        for name, make in METHODS.items()
    }
    taken = medians(steps, rounds)
    return {name: sizes[name] / taken[name] for name in METHODS}


def algorithms(threads: int) -> dict[str, dict[str, float]]:
    """Tasks per second and peak memory of each, one process after another."""
    script = Path(__file__).with_name("algorithm_cost.py")
    found = {}
    for name in ALGORITHMS:
        command = [sys.executable, str(script), name, "--threads", str(threads)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found[name] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object and nothing else"
    )
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--threads", type=int, default=1, help="torch threads of all")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    difference = check()
    batch = best_batch(options.rounds)
    speed = measure(batch, options.rounds)
    ratio = {name: speed["coldstart"] / x for name, x in speed.items() if name != "coldstart"}
    step = ours(network(torch.float32), tasks(torch.float32, batch))
    products = matmul_share(step, options.rounds)
    each = algorithms(options.threads)
    if options.json:
        result = {"tasks_per_second": speed, "ratio": ratio, "batch": batch}
        print(json.dumps(result | {"matmul": products._asdict(), "algorithms": each}))
        return
    print(f"meta-gradients agree to {difference:.1e}; best batch {batch} of {BATCHES}")
    for name, x in speed.items():
        print(f"{name:10} {x:8.0f} tasks/s" + (f"  {ratio[name]:.1f}x" if name in ratio else ""))
    print(
        f"matrix products alone {products.alone:.1f} Gflop/s, in cache {products.in_cache:.1f}, "
        f"the step {products.step:.1f}: {products.share:.0%} and {products.share_in_cache:.0%}\n"
    )
    for name, cost in each.items():
        print(f"{name:10} {cost['tasks_per_second']:8.0f} tasks/s {cost['peak_mb']:8.1f} MiB")


if __name__ == "__main__":
    main()
