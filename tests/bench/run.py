"""The long measurements: `make evidence`, or `python tests/bench/run.py NAME...` for some of them."""

import importlib
import sys

MEASUREMENTS = (
    "ingest",
    "qido",
    "retrieve",
    "latency",
    "interoperability",
    "result_objects",
    "durability",
    "fuzzing",
    "faults",
    "accuracy",
    "whole_lung",
    "series_forms",
    "gradcam",
    "training_speed",
    "networks",
    "timm_weights",
    "operating_point",
    "third_party",
    "published",
    "foreign_network",
    "bags",
    "learning_curve",
)

if __name__ == "__main__":
    for name in sys.argv[1:] or MEASUREMENTS:
        print(f"== {name}", flush=True)
        importlib.import_module(name).main()
