r"""Names that users type, known before torch is imported."""

from importlib import import_module
from typing import Any, Dict, Mapping, Tuple

#: Models by name. A new one is its file and its line here: the command line,
#: recommender files, benchmarks and documentation read this table.
MODELS: Dict[str, str] = {
    'srgnn': 'pyg_sessaug.nn:SRGNN',
    'tagnn': 'pyg_sessaug.nn:TAGNN',
    'srgnn-plus': 'pyg_sessaug.nn:SRGNNPlus',
    'niser': 'pyg_sessaug.nn:NISER',
    'gcsan': 'pyg_sessaug.nn:GCSAN',
    'gcegnn': 'pyg_sessaug.nn:GCEGNN',
    'lessr': 'pyg_sessaug.nn:LESSR',
    'attenmixer': 'pyg_sessaug.nn:AttenMixer',
}

#: Models that only count, by name.
COUNTS: Dict[str, str] = {
    'covisits': 'pyg_sessaug.counts:CoVisits',
    'vsknn': 'pyg_sessaug.counts:VSKNN',
}

#: Data sets of the command line.
DATASETS: Dict[str, str] = {
    'diginetica': 'pyg_sessaug.datasets:Diginetica',
    'yoochoose': 'pyg_sessaug.datasets:YooChoose',
    'otto': 'pyg_sessaug.datasets:Otto',
}


#: What training graphs go through, apart from normalising.
AUGMENTATIONS: Dict[str, str] = {
    'none': 'plain graphs',
    'blur': 'blur alone',
    'i2i': 'distances between items, and blur',
    'gmm': 'distances between clusters of a Gaussian mixture, and blur',
    'kmeans': 'distances between clusters of KMeans, and blur',
    'category': 'distances between categories of items, and blur',
    'inject-same': 'an item of the same category put into half of the '
    'sessions of one',
}


def find_class(name: str, table: Mapping[str, str] = MODELS) -> Any:
    r"""The class of a name.

    Args:
        name (str): A name in the table, or ``'module:Class'`` of a class of
            one's own.
        table (dict): Names and their ``'module:Class'``.
            (default: :obj:`MODELS`)

    Raises:
        ValueError: If there is no such class.
    """
    module, _, cls = table.get(name, name).partition(':')
    if not cls:
        raise ValueError(
            f'unknown name {name!r}; choose one of {list(table)}, or name a '
            f"class of your own as 'module:Class'"
        )
    try:
        return getattr(import_module(module), cls)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f'there is no class {name!r} ({error}); is its module on '
            f'PYTHONPATH?'
        ) from error


def models() -> Dict[str, Tuple[str, str]]:
    r"""Class and first sentence of every model by name, for tables.

    Returns:
        dict: Name to ``'module:Class'`` and sentence.
    """
    about = {}
    for name, path in MODELS.items():
        text = ' '.join((find_class(name).__doc__ or '').split())
        about[name] = (path, text.split('. ')[0].rstrip('.') + '.')
    return about
