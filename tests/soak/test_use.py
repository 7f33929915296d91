"""Strange use gives the right answer, or an error that says what is wrong."""

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from itertools import chain, pairwise

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch_geometric.data import Batch

from pyg_sessaug import Recommender
from pyg_sessaug.__main__ import main
from pyg_sessaug.data.graphs import SessionGraphs
from pyg_sessaug.data.sessions import Sessions
from pyg_sessaug.nn import SRGNN
from pyg_sessaug.transforms import NormalizeEdges
from tests.soak.strange import EDGES, cases, damaged, outcome, randoms

pytestmark = [
    pytest.mark.soak,
    pytest.mark.filterwarnings('ignore:Recommender got:UserWarning'),
]

VOCABULARY = {
    'integers': [5, -7, 2**63 - 1, -(2**63), 0, 1],
    'strings': ['a', 'é', '7', '', 'x y'],
}
known_ids = st.sampled_from(list(chain(*VOCABULARY.values())))
raw_ids = st.one_of(
    known_ids,
    st.sampled_from(EDGES),
    st.integers(),
    st.text(max_size=3),
    st.floats(),
    st.none(),
    st.binary(max_size=2),
    st.just(np.int64(5)),
)
session = st.lists(raw_ids, max_size=6)
many = st.lists(session, max_size=4)
mixed = st.lists(st.one_of(raw_ids, session, many), max_size=3)
# Not `one_of`, which would draw as often of each kind of raw ids.
questions = st.sampled_from([session, many, mixed, raw_ids]).flatmap(
    lambda strategy: strategy
)


@pytest.fixture(scope='module')
def recommenders():
    return {
        kind: Recommender(
            SRGNN(len(ids), 4, num_layers=1), ids, torch.arange(len(ids))
        )
        for kind, ids in VOCABULARY.items()
    }


def is_session(value):
    return isinstance(value, list) and not any(
        isinstance(x, (list, tuple)) for x in value
    )


def check_answer(known, session, answer, k, exclude, block):
    blocked = {x for x in known if x in block}
    clicked = {x for x in known if x in session}
    barred = blocked | (clicked if exclude else set())
    assert len(answer.items) == min(k, len(known) - len(barred))
    assert len(set(answer.items)) == len(answer.items)
    assert not barred & set(answer.items)
    assert answer.fallback == (not clicked)
    unknown = [x for x in session if x not in known]
    assert len(answer.unknown) == len(unknown)
    assert answer.scores == sorted(answer.scores, reverse=True)


@pytest.mark.parametrize('kind', VOCABULARY)
@cases(1 / 2)
@given(
    question=questions,
    k=st.sampled_from([-1, 1, 2, 3, 5, 9]),
    exclude=st.booleans(),
    block=session,
)
@example(question=[5, 'a'], k=9, exclude=True, block=[])
def test_raw_ids(recommenders, kind, question, k, exclude, block):
    recommender = recommenders[kind]
    one = is_session(question)
    sound = one or (
        isinstance(question, list) and all(map(is_session, question))
    )
    ask = partial(recommender.recommend, return_scores=True)
    out, refusal = outcome(
        (ValueError, TypeError), ask, question, k, exclude, block
    )
    if refusal is not None:
        assert refusal.startswith('Recommender got')
        assert k < 1 or not sound
        return
    assert k >= 1
    if not isinstance(out, list):
        question, out = [question], [out]
    for session, answer in zip(question, out, strict=True):
        check_answer(
            recommender.item_ids, list(session), answer, k, exclude, block
        )


lines = st.lists(
    st.lists(
        st.one_of(
            known_ids.map(str),
            st.sampled_from([*map(str, EDGES), '9' * 5000]),
            st.sampled_from(['\u0663', '\x1b', '1_0']),
            st.text(max_size=3),
        ),
        max_size=5,
    ).map(' '.join),
    max_size=4,
).map(lambda lines: '\n'.join(lines).encode())


@pytest.fixture(scope='module')
def recommender_files(recommenders, tmp_path_factory):
    folder = tmp_path_factory.mktemp('recommenders')
    for kind, recommender in recommenders.items():
        recommender.save(str(folder / kind))
    return folder


@pytest.mark.parametrize('kind', VOCABULARY)
@pytest.mark.parametrize('form', ['text', 'json'])
@cases(1 / 4)
@given(data=st.one_of(lines, damaged(lines)))
def test_standard_input(recommender_files, kind, form, data):
    """Every line has its answer, bytes that are no text included."""
    argv = ['recommend', str(recommender_files / kind), '-k', '2']
    out = io.TextIOWrapper(io.BytesIO(), 'utf-8')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'stdin', io.TextIOWrapper(io.BytesIO(data)))
        with redirect_stdout(out), redirect_stderr(io.StringIO()):
            main([*argv, '--format', form])
    out.flush()
    answers = out.buffer.getvalue().decode().splitlines()
    text = io.TextIOWrapper(io.BytesIO(data), 'utf-8-sig', 'replace')
    assert len(answers) == len(list(text))


@st.composite
def long_sessions(draw):
    """Clicks of a few sessions, the first of them of up to thousands."""
    random = draw(randoms)
    sizes = [random.randint(2, 6) for _ in range(draw(st.integers(0, 4)))]
    sizes.insert(0, draw(st.sampled_from([2, 50, 500, 2000, 5000])))
    num_items = draw(st.sampled_from([1, 2, 30, 6000]))
    return num_items, [
        [random.randrange(num_items) for _ in range(size)] for size in sizes
    ]


@cases(1 / 4)
@given(case=long_sessions())
def test_long_sessions(case):
    num_items, lists = case
    sessions = Sessions.from_lengths(
        torch.tensor(list(chain(*lists))), torch.tensor([*map(len, lists)])
    )
    last = torch.tensor([len(x) - 1 for x in lists]).cumsum(0) - 1
    index = torch.cat([torch.zeros(1, dtype=torch.long), last // 2, last])
    index = index.unique()
    batch = SessionGraphs(sessions).batch(index)
    graphs = batch.to_data_list()
    samples = [(x[:i], x[i]) for x in lists for i in range(1, len(x))]
    for data, i in zip(graphs, index.tolist(), strict=True):
        prefix, target = samples[i]
        node = {item: n for n, item in enumerate(dict.fromkeys(prefix))}
        steps = dict.fromkeys(pairwise(prefix))
        edges = [[node[a] for a, _ in steps], [node[b] for _, b in steps]]
        assert data.x.tolist() == list(node)
        assert data.edge_index.tolist() == edges
        assert data.click_index.tolist() == [node[x] for x in prefix]
        assert data.y.tolist() == [target]
    normalize = NormalizeEdges()
    torch.manual_seed(0)
    model = SRGNN(num_items, 4, num_layers=1).eval()
    with torch.no_grad():
        scores = model.score(normalize(batch))
        alone = model.score(normalize(Batch.from_data_list(graphs[-1:])))
        assert model.loss(normalize(batch)).isfinite()
    # Scores do not depend on the other sessions of the batch.
    torch.testing.assert_close(scores[-1:], alone, rtol=1e-3, atol=1e-4)
