r"""Layers from node vectors to session vectors."""
