"""Bring all pages up to date: ``python -m benchmarks.tables``."""

from __future__ import annotations

from benchmarks.tables.pages import update_pages

if __name__ == "__main__":
    update_pages()
