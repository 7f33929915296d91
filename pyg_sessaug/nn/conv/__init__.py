r"""Layers that pass messages or weigh edges."""
