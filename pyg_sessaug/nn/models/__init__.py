r"""Models of sessions."""
