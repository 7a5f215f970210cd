"""Tune what table 1 of the paper held (it is lost): optimiser, learning rate, batch size, schedule.

Only training subjects are used: patient061 to 063 learn, patient064 is held out. The learning rate of the
pretraining is tuned on the Y set: patients 001 to 046 learn, 081, 083 and 085 are held out. Every run sees the same
number of images.

    python results/acdc/tune.py WORK

writes results/acdc/tuning.csv; finished runs are not run again.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

from csmri.config import Config
from csmri.data.store import open_store
from csmri.training import train

HERE = Path(__file__).parent
CSMRI = [sys.executable, "-m", "csmri"]
BASE = {
    "base_channels": 8,
    "precision": "mixed_bfloat16",
    "passes": 1,
    "images_per_epoch": 896,
    "epochs": 12,
    "batch_size": 16,
    "validation_split": "validation",
}
TARGET = [
    {},
    {"learning_rate": 3e-3},
    {"learning_rate": 3e-4},
    {"schedule": "cosine"},
    {"schedule": "cosine", "learning_rate": 3e-3},
    {"batch_size": 8, "schedule": "cosine"},
    {"batch_size": 32, "schedule": "cosine"},
    {"optimizer": "rmsprop", "schedule": "cosine", "learning_rate": 3e-4},
    {"optimizer": "sgd", "schedule": "cosine", "learning_rate": 10.0},
]
PRETRAINING = [{}, {"learning_rate": 3e-3}, {"learning_rate": 3e-4}]


def main(work: Path) -> None:
    rows = []
    for stage, split, variants in (("pretraining", "tune_pretraining", PRETRAINING), ("target", "tune_target", TARGET)):
        store = work / split
        if not store.exists():
            subprocess.run(
                [*CSMRI, "prepare", f"{os.environ['CSMRI_DATA']}/acdc", store, "--split", HERE / f"{split}.toml"],
                check=True,
            )
        for variant in variants:
            name = "_".join([stage, *(f"{key}_{value}" for key, value in variant.items())])
            config = Config(**{**BASE, **variant})
            train(config, open_store(store), work / name)
            with (work / name / "log.csv").open(newline="") as file:
                log = list(csv.DictReader(file))
            rows.append(
                {
                    "stage": stage,
                    "optimizer": config.optimizer,
                    "learning_rate": config.learning_rate,
                    "schedule": config.schedule,
                    "batch_size": config.batch_size,
                    "images": config.images_per_epoch * config.epochs,
                    "initial_nmse": log[-1]["val_initial_nmse"],
                    "nmse_half_way": log[len(log) // 2 - 1]["val_nmse"],
                    "nmse": log[-1]["val_nmse"],
                    "seconds": f"{sum(float(row['seconds']) for row in log):.0f}",
                }
            )
            with (HERE / "tuning.csv").open("w", newline="") as file:
                writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
