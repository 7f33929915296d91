r"""Recommendations from trained models."""
