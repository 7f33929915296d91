import pytest
import torch
import torch.nn.functional as F

from pyg_sessaug import Recommender, evaluate, fit
from pyg_sessaug.__main__ import main
from pyg_sessaug.datasets import MultimodalSessions
from pyg_sessaug.nn import NISER, SRGNN, TAGNN, SRGNNPlus
from pyg_sessaug.serving.export import export_model
from pyg_sessaug.transforms import NormalizeEdges


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('multimodal')
    options = dict(num_sessions=300, num_items=30)
    return [
        MultimodalSessions(root, split, **options)
        for split in ('train', 'val', 'test')
    ]


@pytest.mark.parametrize('cls', [SRGNN, NISER, SRGNNPlus])
def test_vectors_are_read_from_the_context(cls, data):
    torch.manual_seed(0)
    model = cls.from_dataset(data[0], 8, context=4).eval()
    batch = NormalizeEdges()(data[0].get_batch(torch.arange(60, 80)))
    torch.manual_seed(0)
    plain = cls(30, 8).eval()
    state = model.state_dict()
    plain.load_state_dict({k: state[k] for k in plain.state_dict()})
    votes = model.neighbors(batch)
    table = model.item_embedding
    session = plain(batch)
    if model.scale is not None:
        table = F.normalize(table, dim=1)
        session = session / model.scale
    expected = model.context_readout(
        session, table[votes.item], votes.weight, votes.ptr
    )
    if model.scale is not None:
        expected = model.scale * F.normalize(expected, dim=1)
    torch.testing.assert_close(model(batch), expected)
    score = expected @ table.t()
    torch.testing.assert_close(model.score(batch), score)
    loss = F.cross_entropy(score, batch.y)
    torch.testing.assert_close(model.loss(batch), loss)
    assert not torch.allclose(expected, plain(batch))
    assert 'context_item' not in batch  # It is not ours to change.


def test_reaches_validation_tests_and_recommendations(data, tmp_path):
    torch.manual_seed(0)
    train, val, test = data
    model = SRGNN.from_dataset(train, 8, context=4, shuffled_context=True)
    fit(model, train, val, epochs=1, progress=False)
    assert model.context_readout.power != 1  # It has learnt.
    path = tmp_path / 'a.pt'
    Recommender.from_dataset(model, train).save(path)
    loaded = Recommender.load(path)
    assert torch.equal(loaded.model.neighbors.order, model.neighbors.order)
    assert evaluate(loaded, test) == evaluate(model, test)
    clicks = [[train.item_ids.tolist()[i] for i in (3, 5)]]
    found = loaded.recommend(clicks, 5, return_scores=True)[0]
    batch = NormalizeEdges()(test.get_batch(torch.arange(1)))
    before = loaded.model.score(batch)
    loaded.model.neighbors.vsknn.item.zero_()
    loaded.model.neighbors.vsknn._count()
    after = loaded.recommend(clicks, 5, return_scores=True)[0]
    assert found.scores != after.scores
    assert not torch.equal(loaded.model.score(batch), before)


def test_newer_sessions_are_asked_too(data):
    torch.manual_seed(0)
    train, _, test = data
    model = NISER.from_dataset(train, 8, context=4)
    recommender = Recommender.from_dataset(model, train)
    before = evaluate(recommender, test)
    recommender.update(test)  # What it is asked about next.
    counts = model.neighbors.vsknn
    assert counts.num_sessions == train.sessions + test.sessions
    assert evaluate(recommender, test) != before


def test_command_line(tmp_path, capsys):
    lines = ['session_id,item_id,time']
    for i in range(400):
        for j in range(3):
            lines.append(f'{i},{(7 * i + j) % 12},{86400 * i // 20 + j}')
    log = tmp_path / 'clicks.csv'
    log.write_text('\n'.join(lines) + '\n')
    out = str(tmp_path / 'shop.pt')
    main(
        ['train', '--log', str(log), '--model', 'niser', '--set', 'context=3',
         '--hidden', '8', '--epochs', '1', '--output', out]
    )  # fmt: skip
    capsys.readouterr()
    loaded = Recommender.load(out)
    assert loaded.model.context == 3
    assert loaded.model.neighbors.vsknn.num_sessions > 100


def test_no_program_leaves_the_context_out(data):
    model = SRGNN.from_dataset(data[0], 8, context=4)
    for padded in (None, True, False):
        with pytest.raises(ValueError, match='export one without'):
            export_model(model, padded=padded)


def test_errors_name_the_remedy(data):
    with pytest.raises(ValueError, match='context must be 0 or more'):
        SRGNN(30, 8, context=-1)
    with pytest.raises(ValueError, match='got the test split; pass the train'):
        SRGNN.from_dataset(data[2], 8, context=3)
    with pytest.raises(ValueError, match='choose another model'):
        TAGNN(30, 8, context=3)
    with pytest.raises(ValueError, match='from_dataset'):
        SRGNN(30, 8, context=3).score(
            NormalizeEdges()(data[0].get_batch(torch.arange(2)))
        )
