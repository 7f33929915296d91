r"""Names that users type, known before torch is imported."""

from collections import ChainMap
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Dict, Mapping, Optional, Tuple

#: Models by name. A new one is its file, its export in `pyg_sessaug/nn` and
#: its line here: the command line, recommender files, benchmarks and
#: documentation read this table.
MODELS: Dict[str, str] = {
    'srgnn': 'pyg_sessaug.nn:SRGNN',
    'tagnn': 'pyg_sessaug.nn:TAGNN',
    'srgnn-plus': 'pyg_sessaug.nn:SRGNNPlus',
    'srgnn-modes': 'pyg_sessaug.nn:SRGNNModes',
    'niser': 'pyg_sessaug.nn:NISER',
    'gcsan': 'pyg_sessaug.nn:GCSAN',
    'sgnnhn': 'pyg_sessaug.nn:SGNNHN',
    'gcegnn': 'pyg_sessaug.nn:GCEGNN',
    'lessr': 'pyg_sessaug.nn:LESSR',
    'attenmixer': 'pyg_sessaug.nn:AttenMixer',
    'core': 'pyg_sessaug.nn:CORE',
    'sasrec': 'pyg_sessaug.nn:SASRec',
    'gru4rec': 'pyg_sessaug.nn:GRU4Rec',
}

#: Models that only count, by name.
COUNTS: Dict[str, str] = {
    'covisits': 'pyg_sessaug.counts:CoVisits',
    'vsknn': 'pyg_sessaug.counts:VSKNN',
}

#: What the command line trains, or counts.
NAMES = ChainMap(COUNTS, MODELS)

#: Data sets of the command line.
DATASETS: Dict[str, str] = {
    'diginetica': 'pyg_sessaug.datasets:Diginetica',
    'yoochoose': 'pyg_sessaug.datasets:YooChoose',
    'otto': 'pyg_sessaug.datasets:Otto',
}


@dataclass(frozen=True)
class Augmentation:
    r"""What training graphs go through, apart from normalising.

    Args:
        name (str): What users call it.
        text (str): What it is, for them.
        weights (str, optional): What weighs edges or injects items: the name
            of a method of :class:`~pyg_sessaug.training.augmented.Source`,
            with dashes for underscores. (default: :obj:`None`)
        blur (bool): Whether blur follows. (default: :obj:`False`)
        from_base (bool): Whether it needs the item embeddings of a base
            model. (default: :obj:`False`)
        needs (str, optional): What it needs that not every data set has.
            (default: :obj:`None`)
        augmented (tuple): Which of :obj:`"weight_decay"` and
            :obj:`"patience"` are those of augmented trainings, and not of
            plain ones. (default: :obj:`()`)
    """

    name: str
    text: str
    weights: Optional[str] = None
    blur: bool = False
    from_base: bool = False
    needs: Optional[str] = None
    augmented: Tuple[str, ...] = ()


CATEGORIES, TIMES = 'item categories', 'click times'
AUGMENTED = ('weight_decay', 'patience')


def _distances(
    name: str, text: str, needs: Optional[str] = None
) -> Augmentation:
    text = f'distances between {text}, and blur'
    return Augmentation(name, text, name, True, True, needs, AUGMENTED)


#: Augmentations: those of Algorithm 3 in the thesis, injected items, and
#: edges that carry news.
AUGMENTATIONS: Dict[str, Augmentation] = {
    x.name: x
    for x in (
        Augmentation('none', 'plain graphs'),
        Augmentation('blur', 'blur alone', blur=True, augmented=AUGMENTED),
        _distances('i2i', 'items'),
        _distances('gmm', 'clusters of a Gaussian mixture'),
        _distances('kmeans', 'clusters of KMeans'),
        _distances('category', 'categories of items', CATEGORIES),
        Augmentation(
            'inject-same',
            'an item of the same category put into half of the sessions of '
            'one',
            'inject-same',
            needs=CATEGORIES,
        ),
        Augmentation(
            'covisit-weight',
            'how often other sessions take a step, in tests too',
            'covisit-weight',
        ),
        Augmentation(
            'covisit-context',
            'items that other sessions join with those of a session as '
            'further nodes, in tests too',
            'covisit-context',
        ),
        Augmentation(
            'neighbor-context',
            'items of similar older sessions as further nodes, in tests too',
            'neighbor-context',
        ),
        Augmentation(
            'time-buckets',
            'six channels by the time between clicks, in tests too, for a '
            'model with num_channels=6',
            'time-buckets',
            needs=TIMES,
        ),
    )
}


#: Settings of training.
PRESETS: Dict[str, str] = {
    'auto': 'by the number of samples',
    'quick': 'two epochs, or as many as few samples need, and neighbours',
    'best': 'the strongest model and neighbours, in the end of all sessions',
    'thesis': 'Appendix A.2, for hundreds of thousands of clicks',
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
        remedy = 'is its module on PYTHONPATH?'
        if name in table:
            remedy = f'export it in {module}'
        raise ValueError(
            f'there is no class {name!r} ({error}); {remedy}'
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
