"""The losses by themselves: cost, exactness, and the predictions they want."""

from __future__ import annotations

from benchmarks.tables.markdown import table
from benchmarks.tables.results import read_json


def count_table() -> str:
    """Set the count term beside the recursion over frames."""
    header = (
        "batch × classes × frames",
        "forward and backward, ms",
        "times faster than the recursion",
        "memory, MiB (recursion)",
        "largest error, nats",
    )
    rows = []
    for case in read_json("count_nll.json")["results"].values():
        size = case["case"]
        speed = case["speed"]["1 threads"]
        shape = f"{size['items']} × {size['classes']} × {size['frames']}"
        memory = f"{speed['softloc']['peak_mib']:.0f} ({speed['recursion']['peak_mib']:.0f})"
        rows.append(
            (
                f"{shape}, counts to {size['largest_count']}",
                f"{speed['softloc']['median_ms']:.1f}",
                f"{speed['times_faster']:.1f}",
                memory,
                f"{case['largest_errors']['softloc']['value_nats']:.0e}",
            )
        )
    return table(header, rows)


def loss_scale_table() -> str:
    """Cost and exactness of the count term for very large batches and windows."""
    header = (
        "batch × classes × frames",
        "forward, ms",
        "forward and backward, ms",
        "memory, MiB (logits alone)",
        "largest error: value, nats",
        "relative",
        "gradient",
        "windows checked",
    )
    rows = []
    for case in read_json("loss_scale.json")["results"].values():
        size, speed, errors = case["case"], case["speed"], case["largest_errors"]
        shape = f"{size['items']} × {size['classes']} × {size['frames']}"
        rows.append(
            (
                f"{shape}, counts to {size['largest_count']}",
                f"{speed['forward_ms']:.0f}",
                f"{speed['forward_and_backward_ms']:.0f}",
                f"{speed['peak_mib']:.0f} ({speed['logits_mib']:.0f})",
                *(f"{errors[key]:.0e}" for key in ("value_nats", "value_relative", "gradient")),
                str(errors["windows"]),
            )
        )
    return table(header, rows)


def loss_width_table() -> str:
    """Mean cost by the width of predictions, the least of each loss in bold."""
    record = read_json("loss_width.json")
    header = ("loss", *(f"{width:g}" for width in record["widths_frames"]))
    rows = []
    for name, costs in record["costs"].items():
        cells = [f"{cost:.4g}" for cost in costs]
        least = min(range(len(costs)), key=costs.__getitem__)
        cells[least] = f"**{cells[least]}**"
        rows.append((name, *cells))
    return table(header, rows)
