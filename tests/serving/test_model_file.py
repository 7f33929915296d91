"""What a file declares is not believed before memory is taken for it."""

import pytest
import torch
from torch_geometric.transforms import Compose

from pyg_sessaug import Recommender
from pyg_sessaug.counts import VSKNN, CoVisits
from pyg_sessaug.data.sessions import Sessions
from pyg_sessaug.files import load_state, save_atomically
from pyg_sessaug.nn import GCSAN, SRGNN, Blend, RepeatTerm, SASRec, SwitchCase
from pyg_sessaug.serving.model_file import restore_transform
from pyg_sessaug.transforms import CovisitWeight, NormalizeEdges

HUGE = 10**15


def with_transform():
    counts = CoVisits(12)
    counts.update(Sessions.from_lengths(torch.arange(3), torch.tensor([3])))
    model = SRGNN(12, 6)
    steps = [CovisitWeight(counts), NormalizeEdges()]
    model.test_transform = Compose(steps)
    return model


MODELS = {
    'network': (lambda: SRGNN(12, 6), []),
    'counts': (lambda: CoVisits(12), []),
    'neighbours': (lambda: VSKNN(12), []),
    'transform': (
        with_transform,
        [
            'transform',
            'settings',
            'transforms',
            0,
            'settings',
            'covisits',
            'settings',
        ],
    ),
    'term': (lambda: RepeatTerm(SRGNN(12, 6)), ['model', 'settings']),
    'blend': (
        lambda: Blend([SRGNN(12, 6), CoVisits(12)]),
        ['members', 1, 'settings'],
    ),
}


def saved(model, path):
    Recommender(model.eval(), list(range(12))).save(path)
    return load_state(path, '')


@pytest.mark.parametrize('name', MODELS)
def test_more_items_than_ids(tmp_path, name):
    path = str(tmp_path / 'r.pt')
    make, place = MODELS[name]
    state = saved(make(), path)
    assert Recommender.load(path).model.num_items == 12
    settings = state if name == 'transform' else state['settings']
    for key in place:
        settings = settings[key]
    for number in (HUGE, 11):
        settings['num_items'] = number
        save_atomically(state, path)
        with pytest.raises(ValueError, match=f'{number} items .* ids of 12'):
            Recommender.load(path)


@pytest.mark.parametrize(
    'make, key',
    [
        (lambda: SRGNN(12, 6), 'hidden_channels'),
        (lambda: SASRec(12, 6), 'num_layers'),
        (lambda: SASRec(12, 6), 'max_length'),
        (lambda: GCSAN(12, 6), 'num_blocks'),
        (lambda: SwitchCase(SRGNN(12, 6), 2), 'num_clusters'),
    ],
)
def test_more_layers_than_numbers(tmp_path, make, key):
    """Making them would take all memory, or go on for ever."""
    path = str(tmp_path / 'r.pt')
    state = saved(make(), path)
    count = sum(x.numel() for x in state['weights'].values())
    state['settings'][key] = HUGE
    save_atomically(state, path)
    with pytest.raises(ValueError, match=rf'{HUGE} .*{count} numbers are'):
        Recommender.load(path)


def test_small_models_of_many_layers(tmp_path):
    path = str(tmp_path / 'r.pt')
    model = SRGNN(3, 2, num_layers=900)
    Recommender(model.eval(), [1, 2, 3]).save(path)
    loaded = Recommender.load(path).model
    assert loaded.num_layers == 900
    assert torch.equal(loaded.item_embedding, model.item_embedding)


def test_files_name_classes_of_transforms_alone():
    for name in ('usual_gaps', 'os.system', 'Nothing'):
        state = {'transform': name, 'settings': {}, 'tensors': {}}
        with pytest.raises(LookupError, match=f'a transform {name}'):
            restore_transform(state)
