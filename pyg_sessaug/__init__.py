r"""Session graphs and their augmentation for PyTorch Geometric."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, List

if TYPE_CHECKING:
    from pyg_sessaug.evaluation import evaluate
    from pyg_sessaug.loader import SessionLoader
    from pyg_sessaug.serving.recommender import Recommender
    from pyg_sessaug.training.fit import fit

__version__ = '0.2.0'

__all__ = ['Recommender', 'SessionLoader', '__version__', 'evaluate', 'fit']

# Where a name is, which is imported when it is first asked for: the command
# line's help and errors need no torch.
HOMES = {
    'Recommender': 'pyg_sessaug.serving.recommender',
    'SessionLoader': 'pyg_sessaug.loader',
    'evaluate': 'pyg_sessaug.evaluation',
    'fit': 'pyg_sessaug.training',
}


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    value = globals()[name] = getattr(import_module(HOMES[name]), name)
    return value


def __dir__() -> List[str]:
    return sorted({*globals(), *HOMES})
