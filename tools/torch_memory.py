"""Counts the memory that PyTorch takes for a step of training, without a graphics card.

    python tools/torch_memory.py efficientnet_b0 224 256 efficientnet_b4 380 64

needs torch and timm. A step runs on fake tensors, which have shapes and no values, so
any batch is counted as it is. PyTorch's own tracker follows the bytes of every tensor
that is alive: the peak has no allocator's fragments and no workspace of cuDNN. Next to
it are the tensors that forward keeps for backward, each storage once, which is the
least that any order of backward can take.
"""

import sys

import timm
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker


def step(name, size, batch, precision):
    """The bytes that are saved for backward and the bytes at the peak, of a second step."""
    with FakeTensorMode():
        model = timm.create_model(name).train()
        optimizer = torch.optim.RMSprop(model.parameters(), lr=0.01, alpha=0.9, momentum=0.9)
        images = torch.randn(batch, 3, size, size)
        targets = torch.randint(0, 1000, (batch,))
        saved = {}

        def keep(t):
            saved[t.untyped_storage()._cdata] = t.untyped_storage().nbytes()
            return t

        def once():
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
                    loss = F.cross_entropy(model(images), targets)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        once()  # makes the optimizer's state
        parameters = {p.untyped_storage()._cdata for p in model.parameters()} | {images.untyped_storage()._cdata}
        tracker = MemTracker()
        tracker.track_external(model, optimizer, images, targets)
        with tracker:
            saved.clear()
            once()
        kept = sum(n for storage, n in saved.items() if storage not in parameters)
        return kept, tracker.get_tracker_snapshot("peak")[torch.device("cpu")]["Total"]


def main():
    rows = list(zip(sys.argv[1::3], map(int, sys.argv[2::3]), map(int, sys.argv[3::3])))
    print(f"PyTorch {torch.__version__}, timm {timm.__version__}")
    print("| network | pixels | batch | precision | saved for backward, MiB | peak, MiB |\n|---|--:|--:|---|--:|--:|")
    for name, size, batch in rows:
        for precision in "fp32", "bf16":
            saved, peak = step(name, size, batch, precision)
            print(f"| {name} | {size} | {batch} | {precision} | {saved / 2**20:,.0f} | {peak / 2**20:,.0f} |")


if __name__ == "__main__":
    main()
