"""Reproduction of speed and accuracy; outside the wheel, and nothing imports it."""
