"""Strange ids and input to a recommender, and very long sessions."""

import functools
import io
import math
import sys
from contextlib import redirect_stderr, redirect_stdout
from itertools import chain, pairwise

import numpy as np
import torch
from _fuzz_logs import EDGES, SHARED, Wrong, damage
from hypothesis import strategies as st
from torch_geometric.data import Batch

from pyg_sessaug import Recommender
from pyg_sessaug.__main__ import main
from pyg_sessaug.data.graphs import SessionGraphs
from pyg_sessaug.data.sessions import Sessions
from pyg_sessaug.nn import SRGNN
from pyg_sessaug.transforms import NormalizeEdges

VOCABULARY = [[5, -7, 2**63 - 1, -(2**63), 0, 1], ['a', 'é', '7', '', 'x y']]
raw_ids = st.one_of(
    st.sampled_from(VOCABULARY[0] + VOCABULARY[1]),
    st.sampled_from(EDGES),
    st.integers(),
    st.text(max_size=3),
    st.floats(),
    st.none(),
    st.binary(max_size=2),
    st.just(np.int64(5)),
)


@functools.cache
def recommender(which):
    ids = VOCABULARY[which]
    torch.manual_seed(0)
    model = SRGNN(len(ids), 4, num_layers=1)
    return Recommender(model, ids, torch.arange(len(ids)))


@st.composite
def questions(draw):
    inner = st.lists(raw_ids, max_size=6)
    many = st.lists(inner, max_size=4)
    mixed = st.lists(st.one_of(raw_ids, inner, many), max_size=3)
    sessions = draw(st.one_of(inner, many, inner, many, mixed, raw_ids))
    return (
        draw(st.integers(0, 1)),
        sessions,
        draw(st.sampled_from([-1, 0, 1, 1, 2, 2, 3, 5, 9, 9])),
        draw(st.booleans()),
        draw(inner),
    )


def check_question(case, folder):
    which, sessions, k, exclude, block = case
    known = recommender(which).item_ids
    try:
        out = recommender(which).recommend(sessions, k, exclude, block, True)
    except (ValueError, TypeError) as error:
        if not str(error).startswith('Recommender got'):
            raise Wrong(f'an error that names no place: {error!r}') from error
        if isinstance(sessions, list) and k > 0:
            flat = all(not isinstance(x, (list, tuple)) for x in sessions)
            deep = all(isinstance(x, list) for x in sessions)
            inner = sessions if flat else [*chain(*sessions)] if deep else None
            if inner is not None and not any(
                isinstance(x, (list, tuple)) for x in [*inner, *block]
            ):
                raise Wrong(f'refused though it is sound: {error}') from error
        return 'refused'
    one = not isinstance(out, list)
    for session, answer in zip(
        [sessions] if one else sessions, [out] if one else out, strict=True
    ):
        items = answer.items
        blocked = [x for x in known if x in block]
        clicked = [x for x in known if x in list(session)]
        barred = set(blocked) | set(clicked if exclude else [])
        rest = len(known) - len(set(blocked))
        if clicked:
            rest = len([x for x in known if x not in barred])
            if barred & set(items):
                raise Wrong(f'{items} have items of {barred}')
        if len(items) != min(k, rest) or len(set(items)) != len(items):
            raise Wrong(f'{len(items)} items for k={k} of {rest}')
        if answer.fallback != (not clicked):
            raise Wrong(f'fallback {answer.fallback} with {clicked}')
        missing = [x for x in session if x not in known]
        if len(answer.unknown) != len(missing):
            raise Wrong(f'unknown {answer.unknown}, expected {missing}')
        if answer.scores != sorted(answer.scores, reverse=True):
            raise Wrong(f'scores {answer.scores}')
    return 'read'


@functools.cache
def recommender_file(which):
    path = f'{SHARED.name}/model{which}.pt'
    recommender(which).save(path)
    return path


@st.composite
def inputs(draw):
    line = st.lists(
        st.one_of(
            st.sampled_from(VOCABULARY[0] + VOCABULARY[1]).map(str),
            st.sampled_from(EDGES).map(str),
            st.sampled_from(['9' * 5000, '\u0663', '\x1b', '1_0']),
            st.text(max_size=3),
        ),
        max_size=5,
    ).map(' '.join)
    text = '\n'.join(draw(st.lists(line, max_size=4)))
    data = text.encode()
    return (
        draw(st.integers(0, 1)),
        draw(st.one_of(st.just(data), damage(data))),
        draw(st.booleans()),
    )


def check_input(case, folder):
    which, data, as_json = case
    argv = ['recommend', recommender_file(which), '-k', '2']
    argv += ['--format', 'json'] * as_json
    out = io.TextIOWrapper(io.BytesIO(), 'utf-8')
    before, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(data), 'utf-8')
    try:
        with redirect_stdout(out), redirect_stderr(io.StringIO()):
            main(argv)
    except SystemExit as error:
        if not str(error).startswith('error: '):
            raise Wrong(f'it ended with {error}') from error
        return 'refused'
    finally:
        sys.stdin = before
    out.flush()
    lines = out.buffer.getvalue().decode().splitlines()
    wanted = io.TextIOWrapper(io.BytesIO(data), 'utf-8', 'replace')
    if len(lines) != len(list(wanted)):
        raise Wrong(f'{len(lines)} answers')
    return 'read'


@st.composite
def long_sessions(draw):
    """Clicks of a few sessions, one of them of up to thousands."""
    random = draw(st.randoms(use_true_random=False))
    sizes = [random.randint(2, 6) for _ in range(draw(st.integers(0, 4)))]
    sizes.insert(0, draw(st.sampled_from([2, 50, 500, 2000, 5000])))
    num_items = draw(st.sampled_from([1, 2, 30, 6000]))
    return num_items, [
        [random.randrange(num_items) for _ in range(size)] for size in sizes
    ]


def check_long_session(case, folder):
    num_items, lists = case
    sessions = Sessions.from_lengths(
        torch.tensor([i for x in lists for i in x]),
        torch.tensor([len(x) for x in lists]),
    )
    graphs = SessionGraphs(sessions)
    last = torch.tensor([len(x) - 1 for x in lists]).cumsum(0) - 1
    index = torch.cat([torch.zeros(1, dtype=torch.long), last // 2, last])
    batch = graphs.batch(index.unique())
    prefixes = [(x[:i], x[i]) for x in lists for i in range(1, len(x))]
    wanted = [prefixes[i] for i in index.unique().tolist()]
    found = batch.to_data_list()
    for data, (prefix, target) in zip(found, wanted, strict=True):
        items = list(dict.fromkeys(prefix))
        node = {item: i for i, item in enumerate(items)}
        steps = dict.fromkeys(pairwise(prefix))
        edges = [[node[a] for a, _ in steps], [node[b] for _, b in steps]]
        if (
            data.x.tolist() != items
            or data.edge_index.tolist() != edges
            or data.click_index.tolist() != [node[i] for i in prefix]
            or data.y.tolist() != [target]
        ):
            raise Wrong(f'another graph of {prefix[:9]} ...')
    torch.manual_seed(0)
    model = SRGNN(num_items, 4, num_layers=1).eval()
    with torch.no_grad():
        score = model.score(NormalizeEdges()(batch))
        alone = model.score(NormalizeEdges()(Batch.from_data_list(found[-1:])))
        loss = float(model.loss(NormalizeEdges()(batch)))
    if not math.isfinite(loss):
        raise Wrong(f'loss {loss}')
    if not torch.allclose(score[-1:], alone, rtol=1e-3, atol=1e-4):
        raise Wrong('scores depend on the other sessions of the batch')
    return 'read'


TARGETS = {
    'raw ids': (questions(), check_question),
    'standard input': (inputs(), check_input),
    'long sessions': (long_sessions(), check_long_session),
}
