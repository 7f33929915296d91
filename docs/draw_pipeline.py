"""Draws what happens to a session: its graph, weights, and scores."""

from pathlib import Path

PICTURE = (
    Path(__file__).resolve().parent / 'source' / '_static' / 'pipeline.svg'
)
# On a card of its own, so that it reads on light and dark pages.
STYLE = """\
text { font: 14px sans-serif; fill: #1b3a57; text-anchor: middle }
.small { font-size: 12px; fill: #47627d }
.card { fill: #f6f9fc; stroke: #c4d3e2 }
.node { fill: #dbe8f5; stroke: #3b6ea5; stroke-width: 1.5 }
.edge { fill: none; stroke: #3b6ea5 }
.flow { stroke: #7a8fa6; stroke-width: 2; marker-end: url(#flow) }
.bar { fill: #3b6ea5 }
.best { fill: #d55e00 }
"""
HEADS = """\
<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="9" \
markerHeight="9" markerUnits="userSpaceOnUse" orient="auto">\
<path d="M0 0L8 4L0 8z" fill="#3b6ea5"/></marker>
<marker id="flow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="5" \
markerHeight="5" orient="auto"><path d="M0 0L8 4L0 8z" fill="#7a8fa6"/>\
</marker>
"""
CLICKS = 'ABACB'  # In this order
PLACE = {'A': (0, 0), 'B': (78, -42), 'C': (78, 42)}
# Of each transition, and how it bends:
EDGES = {('A', 'B'): 4.5, ('B', 'A'): 1.2, ('A', 'C'): 3.0, ('C', 'B'): 1.6}
SCORES = {'D': 86, 'B': 58, 'E': 34, 'A': 22}
STEPS = [
    (98, 'session', 'what was clicked, in order'),
    (272, 'session graph', 'items and transitions'),
    (500, 'weighted graph', 'knowledge on the edges'),
    (744, 'scores', 'of every item, from one vector'),
]


def node(x, y, name):
    return (
        f'<circle class="node" cx="{x}" cy="{y}" r="17"/>'
        f'<text x="{x}" y="{y + 5}">{name}</text>'
    )


def edge(x, y, source, target, width):
    (x1, y1), (x2, y2) = PLACE[source], PLACE[target]
    length = ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5
    dx, dy = (x2 - x1) / length, (y2 - y1) / length
    start = x + x1 + 18 * dx, y + y1 + 18 * dy
    end = x + x2 - 20 * dx, y + y2 - 20 * dy
    # Aside, so that both directions are seen.
    middle = [(a + b) / 2 for a, b in zip(start, end)]
    bend = middle[0] - 12 * dy, middle[1] + 12 * dx
    points = ' '.join(f'{v:.0f}' for v in (*start, *bend, *end)).split()
    a, b, c, d, e, f = points
    return (
        f'<path class="edge" stroke-width="{width}" marker-end="url(#tip)" '
        f'd="M{a} {b}Q{c} {d} {e} {f}"/>'
    )


def graph(x, y, weights):
    edges = [
        edge(x, y, *pair, weight if weights else 1.5)
        for pair, weight in EDGES.items()
    ]
    nodes = [node(x + dx, y + dy, n) for n, (dx, dy) in PLACE.items()]
    return edges + nodes


def draw():
    middle = 96
    parts = [
        '<rect class="card" x="1" y="1" width="858" height="208" rx="8"/>'
    ]
    for i, name in enumerate(CLICKS):
        parts.append(node(28 + 35 * i, middle, name))
    parts += graph(233, middle, False) + graph(461, middle, True)
    for i, (name, score) in enumerate(SCORES.items()):
        y = 44 + 27 * i
        kind = 'bar best' if i == 0 else 'bar'
        parts.append(f'<text x="692" y="{y + 14}">{name}</text>')
        parts.append(
            f'<rect class="{kind}" x="708" y="{y}" width="{score}" '
            f'height="18" rx="3"/>'
        )
    for x1, x2 in ((190, 208), (338, 430), (566, 668)):
        parts.append(
            f'<line class="flow" x1="{x1}" y1="{middle}" x2="{x2}" '
            f'y2="{middle}"/>'
        )
    parts.append(
        f'<text class="small" x="384" y="{middle - 10}">transform</text>'
    )
    parts.append(
        f'<text class="small" x="617" y="{middle - 10}">any model</text>'
    )
    for x, name, about in STEPS:
        parts.append(f'<text x="{x}" y="174">{name}</text>')
        parts.append(f'<text class="small" x="{x}" y="194">{about}</text>')
    body = '\n'.join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 210">\n'
        f'<style>{STYLE}</style><defs>{HEADS}</defs>\n{body}\n</svg>\n'
    )


if __name__ == '__main__':
    PICTURE.write_text(draw(), 'utf-8')
