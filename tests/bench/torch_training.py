"""Training steps of the slice encoder in PyTorch, as `benches/training_step.rs` takes them: the same layers, batch,
loss, clipping and AdamW. Prints a JSON line a network; `training_speed.py` runs it in target/venv-bench."""

import json
import os
import time

import torch
from torch import nn
from torch.nn import functional

SLICES = 32
CELLS = 2
LOGIT_BOUND = 20.0
NETWORKS = {
    "pyramid": {"size": (144, 192), "widths": (16, 32, 64), "blocks": (1, 1, 1)},
    "residual": {"size": (96, 96), "widths": (24, 48, 96), "blocks": (2, 2, 1)},
}


def normalised(channels, outputs, kernel, stride=1):
    return nn.Sequential(nn.Conv2d(channels, outputs, kernel, stride, kernel // 2), nn.BatchNorm2d(outputs))


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.first, self.second = normalised(channels, channels, 3), normalised(channels, channels, 3)

    def forward(self, image):
        return functional.relu(image + self.second(functional.relu(self.first(image))))


class Encoder(nn.Module):
    """`network/encoder.rs` in PyTorch's words."""

    def __init__(self, channels, widths, blocks):
        super().__init__()
        fine, middle, coarse = widths
        stack = lambda level: nn.Sequential(*[Residual(widths[level]) for _ in range(blocks[level])])
        self.stem, self.fine = normalised(channels, fine, 5, CELLS), stack(0)
        self.to_middle, self.middle = normalised(fine, middle, 3, 2), stack(1)
        self.to_coarse, self.coarse = normalised(middle, coarse, 3, 2), stack(2)
        self.coarse_to_middle, self.middle_to_fine = normalised(coarse, middle, 1), normalised(middle, fine, 1)
        self.merge, self.evidence = normalised(fine, fine, 3), nn.Conv2d(fine, 1, 1)

    def forward(self, slices):
        relu = functional.relu
        doubled = lambda image: functional.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False)
        fine = self.fine(relu(self.stem(slices)))
        middle = self.middle(relu(self.to_middle(fine)))
        coarse = self.coarse(relu(self.to_coarse(middle)))
        middle = relu(middle + doubled(self.coarse_to_middle(coarse)))
        merged = relu(self.merge(relu(fine + doubled(self.middle_to_fine(middle)))))
        evidence = LOGIT_BOUND * torch.tanh(self.evidence(merged) / LOGIT_BOUND)
        odds = evidence.flatten(2).exp()
        total = odds.sum(2, keepdim=True)
        pointed = (merged.flatten(2) * odds).sum(2, keepdim=True) / total
        return torch.cat([total.log(), pointed, coarse.flatten(2).mean(2, keepdim=True)], 1).squeeze(2)


def steps(size, widths, blocks, count):
    torch.manual_seed(1)
    encoder = Encoder(3, widths, blocks)
    optimiser = torch.optim.AdamW(encoder.parameters(), lr=2e-3, weight_decay=1e-3)
    shape = (SLICES, 3, *size)
    images = (torch.arange(torch.Size(shape).numel()) * 7919 % 1000).float().reshape(shape) / 1000
    labels = (torch.arange(SLICES) % 2).float()
    seconds = []
    for _ in range(count):
        started = time.perf_counter()
        optimiser.zero_grad()
        loss = functional.binary_cross_entropy_with_logits(encoder(images.clone())[:, 0], labels)
        assert torch.isfinite(loss).item()
        loss.backward()
        nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimiser.step()
        seconds.append(time.perf_counter() - started)
    return sum(parameter.numel() for parameter in encoder.parameters()), seconds


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    for name, network in NETWORKS.items():
        parameters, seconds = steps(count=int(os.environ.get("PE_NODE_STEPS", "10")), **network)
        print(json.dumps({"network": name, "parameters": parameters, "seconds": seconds}), flush=True)
