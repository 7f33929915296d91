r"""Training: one model, Algorithm 3, and models of clusters."""

from pyg_sessaug.training.blend import fit_blend
from pyg_sessaug.training.fit import fit
from pyg_sessaug.training.loop import best_epoch, validation_loss
from pyg_sessaug.training.presets import preset
from pyg_sessaug.training.strongest import fit_strongest
from pyg_sessaug.training.terms import fit_categories, fit_repeats
from pyg_sessaug.training.warm_start import warm_start

__all__ = [
    'best_epoch',
    'fit',
    'fit_blend',
    'fit_categories',
    'fit_repeats',
    'fit_strongest',
    'preset',
    'validation_loss',
    'warm_start',
]
