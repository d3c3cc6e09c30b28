"""Write the tables of README, model cards and benchmark pages from ``benchmarks/results``.

``python -m benchmarks.tables`` replaces what stands between ``<!-- name -->`` and
``<!-- /name -->``. Figures are never typed by hand. `benchmarks.tables.pages` says which function
makes which table; a module for each subject has them.
"""
