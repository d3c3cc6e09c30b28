"""The options of ``softloc train``: names, types and help; defaults are the library's.

What ``show_default`` says of those is compared with them by ``tests/cli/test_train.py``: importing
them here would make ``--help`` load PyTorch.
"""

from pathlib import Path
from typing import Annotated

import typer

_SHAPE = "Model"
_LEARNING = "Learning"
_COMPUTING = "Computing"

Labels = Annotated[
    Path,
    typer.Option(
        metavar="CSV|DIR",
        help="Table with file,time_s,label, or a folder of label files (CSV, TSV, Audacity, "
        "MIDI, JSON, JAMS, SVL, XML), one a recording.",
    ),
]

Output = Annotated[
    Path, typer.Option("-o", "--output", metavar="MODEL", help="Model file to write.")
]

Audio = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder of the recordings; else where the labels are."),
]

Outside = Annotated[
    bool,
    typer.Option(
        "--outside", help="Labels may name recordings outside of the folder: they are trusted."
    ),
]

ValidLabels = Annotated[
    Path | None,
    typer.Option(
        metavar="CSV|DIR",
        help="Exact labels of other recordings, to validate with; else a share is held back.",
    ),
]

ValidAudio = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of those recordings.")]

Classes = Annotated[
    str | None,
    typer.Option(
        metavar="auto|3|5|8|9|LIST",
        help="All labels, a drum vocabulary, or names with commas; else those of --init, "
        "else auto.",
    ),
]

DryRun = Annotated[bool, typer.Option("--dry-run", help="Check labels and recordings, then stop.")]

Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with an interrupted training, exactly.")
]

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the model, or start afresh.")]

Init = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|PATH",
        help="Start from this model's weights; of a joined model from the first's.",
        rich_help_panel=_SHAPE,
    ),
]

Size = Annotated[
    str | None,
    typer.Option(help="small, paper or large.", show_default="large", rich_help_panel=_SHAPE),
]

Bidirectional = Annotated[
    bool,
    typer.Option("--bidirectional", help="Let the LSTM read both ways.", rich_help_panel=_SHAPE),
]

Loss = Annotated[
    str | None,
    typer.Option(
        help="softloc, likelihood (better for very imprecise labels; --softness must be about "
        "right), sll, count, cross-entropy, label-smoothing, soft-bootstrap or "
        "shift-tolerant.",
        show_default="softloc",
        rich_help_panel=_LEARNING,
    ),
]

Softness = Annotated[
    float | None,
    typer.Option(
        metavar="MS",
        help="Standard deviation that the times of the labels may have, rather more than less; "
        "inf learns from counts alone.",
        show_default="50",
        rich_help_panel=_LEARNING,
    ),
]

AnnotatorSoftness = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=MS",
        help="The same for one annotator. Repeatable; a column softness_ms goes before it.",
        rich_help_panel=_LEARNING,
    ),
]

Measure = Annotated[
    str | None,
    typer.Option(
        help="Distance of smoothed signals: mse or log.",
        show_default="mse",
        rich_help_panel=_LEARNING,
    ),
]

Alpha = Annotated[
    str | None,
    typer.Option(
        help="Weight of the count term (softloc, likelihood): drums, piano or puffs (schedules), "
        "or a number.",
        show_default="0.2",
        rich_help_panel=_LEARNING,
    ),
]

LabelLength = Annotated[
    float | None,
    typer.Option(
        metavar="MS",
        help="Length of labels for cross-entropy.",
        show_default="32",
        rich_help_panel=_LEARNING,
    ),
]

Steps = Annotated[
    int | None,
    typer.Option(help="Steps of the optimiser.", show_default="4000", rich_help_panel=_LEARNING),
]

Minutes = Annotated[
    float | None,
    typer.Option(help="About how long to train, instead of --steps.", rich_help_panel=_LEARNING),
]

BatchSize = Annotated[
    int | None, typer.Option(help="Windows a step.", show_default="32", rich_help_panel=_LEARNING)
]

Window = Annotated[
    float | None,
    typer.Option(
        metavar="S", help="Length of a window.", show_default="1.5", rich_help_panel=_LEARNING
    ),
]

LearningRate = Annotated[
    float | None,
    typer.Option(help="Its largest value.", show_default="0.002", rich_help_panel=_LEARNING),
]

Augment = Annotated[
    bool,
    typer.Option(
        "--augment/--no-augment",
        help="Vary speed, level and colour.",
        rich_help_panel=_LEARNING,
    ),
]

Precision = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="float32, or bfloat16: faster where the processor is made for it.",
        show_default="float32",
        rich_help_panel=_LEARNING,
    ),
]

Seed = Annotated[
    int | None, typer.Option(help="Of all randomness.", show_default="0", rich_help_panel=_LEARNING)
]

Device = Annotated[
    str,
    typer.Option("-d", "--device", help="auto, cpu, cuda[:N] or mps.", rich_help_panel=_COMPUTING),
]

Devices = Annotated[
    int,
    typer.Option(
        min=1,
        metavar="N",
        help="Train on N GPUs, or in N processes with -d cpu; batches are shared among them.",
        rich_help_panel=_COMPUTING,
    ),
]

Accumulate = Annotated[
    int,
    typer.Option(
        min=1,
        metavar="N",
        help="Go through the windows of a step in N parts, to need less memory.",
        rich_help_panel=_COMPUTING,
    ),
]

Threads = Annotated[
    int,
    typer.Option(
        min=0,
        max=1024,
        help="Threads to compute with, in each process; 0 lets torch choose.",
        rich_help_panel=_COMPUTING,
    ),
]

Board = Annotated[
    Path | None,
    typer.Option(
        "--tensorboard", metavar="DIR", help="Write losses and scores for TensorBoard, too."
    ),
]

SaveEvery = Annotated[
    float | None,
    typer.Option(metavar="S", help="Seconds between states to resume from.", show_default="20"),
]

Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Errors only.")]
