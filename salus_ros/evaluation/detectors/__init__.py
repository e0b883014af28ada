"""Failure detectors to compare with: sober baselines, published ones, and SALUS's own.

The published ones are written anew from the formulas of their papers.
"""
