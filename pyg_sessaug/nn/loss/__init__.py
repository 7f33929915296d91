r"""Losses over the whole catalogue."""
