"""What version 0.1.0 wrote and computed, see tests/fixtures/README.md."""

import json
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Data

from pyg_sessaug import Recommender, nn
from pyg_sessaug.clusters import ItemMixture

FIXTURES = Path(__file__).parent / 'fixtures'
RESULTS = json.loads((FIXTURES / 'recommendations.json').read_text())


@pytest.mark.parametrize('name', RESULTS)
def test_recommenders(name):
    recommender = Recommender.load(FIXTURES / f'{name}.recommender')
    sessions = [result['session'] for result in RESULTS[name]]
    found = recommender.recommend(sessions, 5, return_scores=True)
    for own, result in zip(found, RESULTS[name]):
        assert own.items == result['items']
        assert own.unknown == result['unknown']
        assert own.fallback == result['fallback']
        assert own.scores == pytest.approx(result['scores'], abs=1e-4)


def test_losses_scores_and_gradients():
    saved = torch.load(FIXTURES / 'models-0.1.0.bin', weights_only=True)
    mixture = ItemMixture(**saved['mixture'])
    make = {
        'SRGNN': lambda **kwargs: nn.SRGNN(30, 8, **kwargs),
        'TAGNN': lambda **kwargs: nn.TAGNN(30, 8, **kwargs),
        'TAGNN-identity': lambda **kwargs: nn.TAGNN(30, 8, **kwargs),
        'CovarianceSRGNN': lambda **kwargs: nn.CovarianceSRGNN(
            mixture, 8, **kwargs
        ),
        'SwitchCase': lambda **kwargs: nn.SwitchCase(
            nn.SRGNN(30, 8, **kwargs), 2
        ),
    }
    assert len(saved['cases']) == 4 * len(make)
    for name, case in saved['cases'].items():
        cls, variant = name.rsplit('-', 1)
        tolerance = 1e-3 if variant == 'bf16' else 1e-4
        batch = dict(saved['batch'])
        if variant == 'channels':
            batch['edge_attr'] = saved['edge_attr of channels']
        model = make[cls](**case['kwargs'])
        model.load_state_dict(case['state'])
        loss = model.loss(Data(**batch))
        loss.backward()
        with torch.no_grad():
            score = model.score(Data(**batch))
        own = {
            key: parameter.grad
            for key, parameter in model.named_parameters()
            if parameter.grad is not None
        }
        expected = case['loss'], case['scores'], case['grads']
        torch.testing.assert_close(
            (loss.detach(), score, own),
            expected,
            rtol=0,
            atol=tolerance,
            msg=lambda text, name=name: f'{name}: {text}',
        )
