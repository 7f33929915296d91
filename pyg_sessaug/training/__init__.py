r"""Training: one model, Algorithm 3, and models of clusters."""

from pyg_sessaug.training.blend import fit_blend
from pyg_sessaug.training.fit import fit
from pyg_sessaug.training.loop import best_epoch, validation_loss

__all__ = ['best_epoch', 'fit', 'fit_blend', 'validation_loss']
