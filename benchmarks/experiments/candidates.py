"""What the leaderboard tries: settings of each model, and what is made of
them.

A setting holds arguments of the model and of fit, the `preset` of the latter
and `edges`, an augmentation that tells edges of other sessions, `shuffled` or
not. One with a `piece` is of the class that has it.
"""

from typing import Dict, List, Tuple

from benchmarks.experiments.board import Setting
from pyg_sessaug.registry import MODELS

# What the search tries: the paper's own by the schedule that the papers
# share, then the model's defaults by the package's schedule, and what made
# the strongest model strong.
PAPER: Setting = {'preset': 'thesis'}
STRONG: Setting = {'scale': 12.0, 'dropout': 0.2}
CANDIDATES: Dict[str, List[Setting]] = {
    **{name: [PAPER, {}, STRONG] for name in MODELS},
    'tagnn': [PAPER],  # Its step is five times as dear as any other.
    'srgnn-plus': [{'recency': 1.0}, {}, {'table_dropout': 0.1},
                   {'weight_decay': 1e-4}],
    'srgnn-modes': [{'recency': 1.0}],  # What srgnn-plus has on Diginetica.
    'covisits': [{}, {'repeat': 3.0}, {'tau': 0.3}, {'item_power': 0.0}],
    'vsknn': [
        {'k': 100, 'sample_size': 1000, 'idf_weighting': 0.0},
        {},
        {'k': 500, 'sample_size': 5000, 'idf_weighting': 10.0},
        {'k': 1000, 'sample_size': 5000, 'weighting': 'log',
         'weighting_score': 'quadratic', 'idf_weighting': 2.0},
    ],
}  # fmt: skip
# What a piece of other models is tried on.
PIECED = 'benchmarks.experiments.pieces:PiecedSRGNN'
# A model by the setting found for it, and more.
VARIANTS: Dict[str, Tuple[str, Setting]] = {
    'srgnn-plus-context': ('srgnn-plus', {'context': 20}),
    'srgnn-plus-shuffled': (
        'srgnn-plus',
        {'context': 20, 'shuffled_context': True},
    ),
    'srgnn-plus-covisits': ('srgnn-plus', {'edges': 'covisit-context'}),
    'srgnn-plus-covisits-shuffled': (
        'srgnn-plus',
        {'edges': 'covisit-context', 'shuffled': True},
    ),
    'srgnn-modes-shuffled': ('srgnn-modes', {'shuffled_modes': True}),
    'srgnn-plus-wide': (
        'srgnn-plus',
        {'hidden_channels': 256, 'recency': 1.0},
    ),
    'srgnn-plus-quick': ('srgnn-plus', {'preset': 'quick', 'recency': None}),
    **{
        f'srgnn-plus-sampled-{count}': (
            'srgnn-plus',
            {'loss': 'sampled', 'num_negatives': count},
        )
        for count in (512, 2048, 8192)
    },
}
# Made of trained models; `name:1` is one of the next seed.
COMPOSED: Dict[str, Setting] = {
    'srgnn-plus-repeats': {'members': ['srgnn-plus']},
    'srgnn-plus-context-repeats': {'members': ['srgnn-plus-context']},
    'srgnn-plus-wide-repeats': {'members': ['srgnn-plus-wide']},
    'srgnn-plus-categories': {'members': ['srgnn-plus'], 'categories': 'own'},
    'srgnn-plus-categories-shuffled': {
        'members': ['srgnn-plus'],
        'categories': 'shuffled',
    },
    'blend-categories': {
        'members': ['srgnn-plus', 'vsknn'],
        'categories': 'own',
    },
    'srgnn-modes-repeats': {'members': ['srgnn-modes']},
    'srgnn-modes-categories': {
        'members': ['srgnn-modes'],
        'categories': 'own',
    },
    'blend-modes': {
        'members': ['srgnn-modes', 'vsknn'],
        'categories': 'own',
    },
    'blend-modes-both': {
        'members': ['srgnn-modes', 'srgnn-plus', 'vsknn'],
        'categories': 'own',
    },
    'blend': {'members': ['srgnn-plus', 'vsknn']},
    'blend-context': {'members': ['srgnn-plus-context', 'vsknn']},
    'quick': {'members': ['srgnn-plus-quick', 'vsknn']},
    'blend-both': {'members': ['srgnn-plus-context', 'srgnn-plus', 'vsknn']},
    'blend-wide': {'members': ['srgnn-plus-wide', 'gcsan', 'gcegnn', 'vsknn']},
    'blend-seeds': {
        'members': ['srgnn-plus-wide', 'srgnn-plus-wide:1', 'gcegnn', 'vsknn']
    },
    'blend-seeds-gcsan': {
        'members': [
            'srgnn-plus-wide',
            'srgnn-plus-wide:1',
            'gcsan',
            'gcegnn',
            'vsknn',
        ]
    },
    'blend-all': {
        'members': [
            'srgnn-plus-wide',
            'srgnn-plus-wide:1',
            'srgnn-plus-wide:2',
            'gcsan',
            'gcegnn',
            'vsknn',
        ]
    },
    'blend-networks': {
        'members': ['srgnn-plus', 'gcegnn', 'gcsan', 'lessr', 'vsknn']
    },
}


def needs_categories(model: str) -> bool:
    """Whether a model asks for the categories of items."""
    setting = COMPOSED.get(model, {})
    members = (x.partition(':')[0] for x in setting.get('members', []))
    return (
        model.startswith('srgnn-modes')
        or 'categories' in setting
        or any(map(needs_categories, members))
    )
