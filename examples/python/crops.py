"""Crops that `pe-node train crops` prepared, for PyTorch; docs/crops-format.md describes the files."""

import csv
from pathlib import Path

import numpy
import torch

TYPES = {"f32": "<f4", "f16": "<f2"}


def rows(path):
    with open(path, newline="") as table:
        yield from csv.DictReader(table)


class Crops(torch.utils.data.Dataset):
    """Exams of an experiment: images `[D, C, H, W]`, slice labels `[D]` and the exam's label.

    A label is 1 or 0; a slice of which it is unknown whether it shows an embolus has NaN. C is a slice between its
    neighbours, as the network is given it when it is served.

    work, experiment: `work.dir` and `work.experiment` of the configuration.
    split: "train", "validation" or "test".
    fold: with `data.folds`, the fold that validates.
    depth: this many slices (2 or more) in equal distances, or all. Exams of different depth need a batch size of 1."""

    def __init__(self, work, experiment, split, fold=None, depth=None):
        self.work, self.depth = Path(work), depth
        folder = self.work / experiment
        self.exams = [row for row in rows(folder / "crops.csv") if self.split(row, fold) == split]
        self.labels = {row["series"]: [] for row in self.exams}
        for row in rows(folder / "crop-slices.csv"):
            if row["series"] in self.labels:
                self.labels[row["series"]].append(float(row["embolism"] or "nan"))

    @staticmethod
    def split(row, fold):
        place = row["place"]
        if place.startswith("fold-"):
            place = "validation" if place == f"fold-{fold}" else "train"
        # Emboli that were put into an exam are an augmentation: nothing is measured on them.
        return place if place == "train" or row["inserted"] == "0" else None

    def __len__(self):
        return len(self.exams)

    def __getitem__(self, index):
        exam = self.exams[index]
        shape = tuple(int(exam[name]) for name in ("slices", "rows", "columns"))
        images = numpy.memmap(self.work / exam["images"], TYPES[exam["pixels"]], "r", shape=shape)
        count = self.depth or shape[0]
        # As `pe-node` chooses slices for a network of fixed depth.
        chosen = numpy.floor(numpy.linspace(0, shape[0] - 1, count) + 0.5).astype(int)
        reach = int(exam["neighbours"])
        # Beyond the lowest and the highest slice, these stand for their neighbours.
        channels = numpy.clip(chosen[:, None] + numpy.arange(-reach, reach + 1), 0, shape[0] - 1)
        labels = torch.tensor(self.labels[exam["series"]])[chosen]
        return torch.from_numpy(images[channels].astype(numpy.float32)), labels, float(exam["embolism"])
