"""Shipped weights, their index with SHA-256, and a card for each."""
