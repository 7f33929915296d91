r"""Session graphs and their augmentation for PyTorch Geometric."""

from pyg_sessaug.evaluation import evaluate
from pyg_sessaug.loader import SessionLoader
from pyg_sessaug.serving.recommender import Recommender
from pyg_sessaug.training import fit

__version__ = '0.1.0'

__all__ = ['Recommender', 'SessionLoader', '__version__', 'evaluate', 'fit']
