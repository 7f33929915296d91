r"""Flat sessions and the graphs made of them."""
