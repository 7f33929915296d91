r"""A page of a trained model: one file of HTML that needs nothing else."""

import html
import json
import math
from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_sessaug.clusters import ItemClusters
from pyg_sessaug.data.graphs import list_batch
from pyg_sessaug.metrics import top_items
from pyg_sessaug.serving.recommender import Recommender
from pyg_sessaug.serving.vocabulary import Id
from pyg_sessaug.transforms import NormalizeEdges

WIDTH, HEIGHT = 640, 420
NUM_CLUSTERS = 8
NUM_NEAR = 10
#: Okabe and Ito's colours, but for black, told apart by all eyes.
COLORS = [
    '#0072B2', '#E69F00', '#56B4E9', '#009E73', '#D55E00', '#CC79A7',
    '#999999', '#B8A800',
]  # fmt: skip
STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #222; --line: #8888 }
@media (prefers-color-scheme: dark) {
  :root { --back: #17191c; --text: #e4e4e4 }
  svg circle, svg polyline, svg .key { filter: brightness(1.5) }
}
body { background: var(--back); color: var(--text); margin: 2rem auto;
  max-width: 44rem; padding: 0 1rem; font: 16px/1.5 system-ui, sans-serif }
svg { width: 100%; height: auto; border: 1px solid var(--line);
  border-radius: 6px }
svg text { fill: var(--text); font: 12px system-ui, sans-serif;
  paint-order: stroke; stroke: var(--back); stroke-width: 4px }
@media (max-width: 30rem) { svg text { font-size: 19px } }
svg .edge { stroke: var(--text); fill: none }
svg .chosen { stroke: var(--text); stroke-width: 3; r: 8px }
circle.item { cursor: pointer }
td, th { padding: .1rem .8rem .1rem 0; text-align: left }
h2 { margin-top: 2rem }
select { font: inherit; max-width: 100% }
"""
SCRIPT = """
const data = JSON.parse(document.getElementById('data').textContent);
const choice = document.getElementById('choice');
const near = document.getElementById('near');
const points = document.querySelectorAll('circle.item');
function choose(i) {
  choice.value = i;
  near.replaceChildren(...data.near[i].map(([j, cosine]) => {
    const line = document.createElement('li');
    line.textContent = data.names[j] + ' (' + cosine.toFixed(2) + ')';
    return line;
  }));
  points.forEach((x, j) => x.classList.toggle('chosen', j === Number(i)));
}
if (choice) {
  points.forEach((x, i) => x.addEventListener('click', () => choose(i)));
  choice.addEventListener('change', () => choose(choice.value));
  choose(0);
}
"""


def model_page(
    recommender: Recommender,
    session: Sequence[Id] = (),
    max_items: int = 500,
) -> str:
    r"""Draws a recommender as HTML: a map of its items by cluster with names
    on hover, the items nearest to each, the graph of a session with its
    weights and what is recommended to it, and the losses of its training.

    Args:
        recommender (Recommender): The model and its ids.
        session (list): Raw ids of a session to show. (default: :obj:`()`,
            one that follows the recommendations)
        max_items (int): Items on the map, the most popular ones.
            (default: :obj:`500`)

    Returns:
        str: The page. It loads nothing, has no map where a model has no item
        vectors, as counts, and no losses where the file has none.

    Raises:
        ValueError: If :obj:`max_items` is not positive, or no item of the
            session is known.
    """
    if max_items < 1:
        raise ValueError(f'got max_items={max_items}; pass at least 1')
    shown = _popular(recommender, max_items)
    items = list(session) or _example(recommender, shown[0])
    known = {x: i for i, x in enumerate(recommender.item_ids)}
    known_items = [known[x] for x in items if x in known]
    if not known_items:
        raise ValueError(
            f'no item of the session {items} is known; ids are such as '
            f'{recommender.item_ids[0]!r}'
        )
    names = [str(x) for x in recommender.item_ids]
    parts, data = [], {}
    table = _item_table(recommender.model)
    if table is not None and len(shown) > 2:
        figure, near = _map(table[shown], [names[i] for i in shown])
        data = {'names': [names[i] for i in shown], 'near': near}
        parts += [
            '<h2>Items</h2><p>The closer, the more alike to the model '
            '(t-SNE of unit vectors); colours are clusters of KMeans. Click '
            f'an item for its nearest. Shown: {len(shown):,} of '
            f'{len(names):,}, the most popular.</p>',
            figure,
            _nearest([names[i] for i in shown]),
        ]
    parts.append('<h2>A session</h2>')
    parts.append(_graph(known_items, names))
    parts.append(_answers(recommender, items))
    history = recommender.about.get('history')
    if history:
        parts += ['<h2>Training</h2>', _curves(history)]
    name = type(recommender.model).__name__
    title = html.escape(f'{name} of {len(names):,} items')
    # Or an id could end the script.
    text = json.dumps(data).replace('<', '\\u003c')
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f'<title>{title}</title><style>{STYLE}</style></head><body>'
        f'<h1>{title}</h1>{"".join(parts)}'
        f'<script type="application/json" id="data">{text}</script>'
        f'<script>{SCRIPT}</script></body></html>\n'
    )


def _popular(recommender: Recommender, count: int) -> List[int]:
    r"""The most popular items, of all the first where that is not known."""
    popularity = recommender.popularity
    if popularity is None:
        return list(range(min(count, len(recommender.item_ids))))
    order = popularity.argsort(descending=True, stable=True)
    return order[:count].tolist()


def _example(recommender: Recommender, first: int) -> List[Id]:
    r"""From an item along the recommendations, and back to the second."""
    session = [recommender.item_ids[first]]
    for _ in range(4):
        answer: Any = recommender.recommend(session, 1, exclude_clicked=True)
        session += answer.items
    return [*session, *session[1:2]]


def _item_table(model: Any) -> Optional[Tensor]:
    r"""Item vectors of unit length, of a mixture those of its network."""
    modules = model.modules() if isinstance(model, torch.nn.Module) else []
    for part in (model, *modules):
        if hasattr(part, 'item_embedding'):
            return F.normalize(part.item_embedding.detach().cpu(), dim=1)
    return None


def _map(table: Tensor, names: List[str]) -> 'Tuple[str, List[Any]]':
    r"""The map, and the nearest items of each with their cosines."""
    from sklearn.manifold import TSNE

    size = len(names)
    seed = int(torch.randint(2**31 - 1, (1,)))
    method = TSNE(perplexity=min(30.0, (size - 1) / 3), random_state=seed)
    place = torch.from_numpy(method.fit_transform(table.numpy()))
    place = place - place.amin(dim=0)
    place = place / place.amax(dim=0).clamp(min=1e-9)
    place = 12 + place * torch.tensor([WIDTH - 24.0, HEIGHT - 24.0])
    clusters = min(NUM_CLUSTERS, size)
    label = ItemClusters.fit(table, 'kmeans', clusters).labels.tolist()
    circles = [
        f'<circle class="item" cx="{x:.1f}" cy="{y:.1f}" r="5" '
        f'fill="{COLORS[label[i]]}" fill-opacity=".75"><title>'
        f'{html.escape(names[i])}, cluster {label[i]}</title></circle>'
        for i, (x, y) in enumerate(place.tolist())
    ]
    cosine = table @ table.t()
    cosine.fill_diagonal_(-torch.inf)
    value, item = top_items(cosine, min(NUM_NEAR, size - 1))
    near = [
        [[j, round(x, 4)] for j, x in zip(items, values)]
        for items, values in zip(item.tolist(), value.tolist())
    ]
    return _svg(''.join(circles), 'Map of the items'), near


def _nearest(names: List[str]) -> str:
    options = ''.join(
        f'<option value="{i}">{html.escape(x)}</option>'
        for i, x in enumerate(names)
    )
    return (
        f'<p><label>Nearest to <select id="choice">{options}</select></label>'
        f' of those shown, by cosine:</p><ol id="near"></ol>'
    )


def _graph(session: List[int], names: List[str]) -> str:
    r"""The graph of a session, edges as wide as they weigh."""
    batch = NormalizeEdges()(list_batch([session]))
    item, radius = batch.x.tolist(), 150
    place = []
    for i in range(len(item)):
        angle = 2 * math.pi * i / len(item) - math.pi / 2
        x = WIDTH / 2 + 1.5 * radius * math.cos(angle)
        place.append((x, HEIGHT / 2 + radius * math.sin(angle)))
    marks = [
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" '
        'markerWidth="10" markerHeight="10" markerUnits="userSpaceOnUse" '
        'orient="auto"><path d="M0 0L8 4L0 8z" fill="currentColor"/>'
        '</marker></defs>'
    ]
    rows = zip(batch.edge_index.t().tolist(), batch.edge_attr.tolist())
    for (i, j), (share, back) in rows:
        (x, y), (u, v) = place[i], place[j]
        text = (
            f'{html.escape(names[item[i]])} → {html.escape(names[item[j]])}: '
            f'{share:.2f} of the weight in, {back:.2f} of that out'
        )
        if i == j:
            path = f'M{x - 6:.1f} {y - 14:.1f}a12 12 0 1 1 12 0'
            u, v = x, y - 52
        else:
            length = math.hypot(u - x, v - y)
            dx, dy = (u - x) / length, (v - y) / length
            # Bent to one side, so that both ways can be told apart.
            mid = (x + u) / 2 - 22 * dy, (y + v) / 2 + 22 * dx
            path = (
                f'M{x + 14 * dx:.1f} {y + 14 * dy:.1f}Q{mid[0]:.1f} '
                f'{mid[1]:.1f} {u - 15 * dx:.1f} {v - 15 * dy:.1f}'
            )
            u, v = mid
        marks.append(
            f'<path class="edge" d="{path}" stroke-width="{1 + 2 * share:.1f}"'
            f' marker-end="url(#tip)"><title>{text}</title></path>'
            f'<text x="{u:.1f}" y="{v:.1f}" text-anchor="middle">'
            f'{share:.2f}</text>'
        )
    last = int(batch.click_index[-1])
    for i, (x, y) in enumerate(place):
        name = html.escape(names[item[i]])
        color = COLORS[4] if i == last else COLORS[0]
        marks.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="11" fill="{color}">'
            f'<title>{name}</title></circle><text x="{x:.1f}" '
            f'y="{y + 26:.1f}" text-anchor="middle">{name}</text>'
        )
    clicks = ' → '.join(html.escape(names[x]) for x in session)
    return (
        f'<p>{clicks}</p><p>Its graph: an arrow for each step, with its share '
        'of the weight into the item; the last click is red.</p>'
        + _svg(''.join(marks), 'Graph of a session')
    )


def _answers(recommender: Recommender, session: List[Id]) -> str:
    answer: Any = recommender.recommend(session, 10, return_scores=True)
    lines = ''.join(
        f'<tr><td>{i}</td><td>{html.escape(str(x))}</td>'
        f'<td>{score:.2f}</td></tr>'
        for i, (x, score) in enumerate(zip(answer.items, answer.scores), 1)
    )
    return (
        '<p>Recommended next:</p><table><tr><th></th><th>item</th>'
        f'<th>score</th></tr>{lines}</table>'
    )


def _curves(history: Dict[str, List[Dict[str, float]]]) -> str:
    r"""Losses over the epochs of each training, dashed in validation."""
    lines = []
    for i, (name, epochs) in enumerate(history.items()):
        for key, dash in (('train_loss', ''), ('val_loss', '5 4')):
            values = [x[key] for x in epochs if key in x]
            label = f'{name}, {key.removesuffix("_loss")}'
            lines.append((label, values, COLORS[i % len(COLORS)], dash))
    every = [x for _, values, *_ in lines for x in values]
    low, high = min(every), max(every)
    longest = max(len(values) for _, values, *_ in lines)

    def at(epoch: int, value: float) -> str:
        x = 50 + (WIDTH - 200) * epoch / max(longest - 1, 1)
        y = 20 + (HEIGHT - 60) * (high - value) / max(high - low, 1e-9)
        return f'{x:.1f},{y:.1f}'

    marks = [
        f'<text x="8" y="24">{high:.2f}</text>'
        f'<text x="8" y="{HEIGHT - 36}">{low:.2f}</text>'
        f'<text x="50" y="{HEIGHT - 12}">epochs 1 to {longest}, '
        'cross-entropy</text>'
    ]
    for i, (label, values, color, dash) in enumerate(lines):
        points = ' '.join(at(*pair) for pair in enumerate(values))
        y = 24 + 20 * i
        stroke = f'stroke="{color}" stroke-width="2" stroke-dasharray="{dash}"'
        marks.append(
            f'<polyline points="{points}" fill="none" {stroke}/>'
            f'<path class="key" d="M{WIDTH - 140} {y - 4}h24" {stroke}/>'
            f'<text x="{WIDTH - 110}" y="{y}">{html.escape(label)}</text>'
        )
    return _svg(''.join(marks), 'Losses')


def _svg(marks: str, title: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{title}">{marks}</svg>'
    )
