"""Bad files and bad moments: readers are given damaged input, and work is interrupted.

``python -m benchmarks.robustness fuzz TARGET`` and ``… faults SUBJECT`` append a line each to
``benchmarks/results/robustness.jsonl``. What they find is kept as a small file under
``tests/robustness``, where a test reads it ever after.
"""
