"""Draws the rooms of the package and their imports, from its code."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / 'docs' / 'source' / '_static' / 'rooms.svg'
# Lower rooms first: none imports from one behind it.
ORDER = (
    'registry files data datasets loader clusters counts transforms '
    'nn metrics evaluation comparison training serving commands'
).split()
COMMANDS = {'__main__', 'arguments'}  # The door of `commands`
WIDTH, HEIGHT, BOX = 720, 86, (104, 34)
STYLE = """\
text { font: 14px sans-serif; text-anchor: middle; fill: #1b3a57 }
rect { fill: #e8f0f8; stroke: #3b6ea5; rx: 6 }
line { stroke: #7a8fa6; stroke-width: 1.3; marker-end: url(#tip) }
"""


def imports():
    """Each room and the rooms that it imports from, but for itself."""
    found = {room: set() for room in ORDER}
    for path in (ROOT / 'pyg_sessaug').rglob('*.py'):
        name = path.relative_to(ROOT / 'pyg_sessaug').with_suffix('').parts[0]
        room = 'commands' if name in COMMANDS else name
        for node in ast.walk(ast.parse(path.read_text('utf-8'))):
            module = getattr(node, 'module', None) or ''
            parts = module.split('.')
            if parts[0] != 'pyg_sessaug' or room == '__init__':
                continue
            if len(parts) > 1 and parts[1] not in COMMANDS | {room}:
                found[room].add(parts[1])
    return found


def direct(found):
    """The arrows that no path over other rooms says already."""

    def reach(room):
        return found[room].union(*map(reach, found[room]))

    return {
        room: {x for x in below if not any(x in reach(y) for y in below - {x})}
        for room, below in found.items()
    }


def draw(found):
    level = {}
    for room in ORDER:
        level[room] = 1 + max((level[x] for x in found[room]), default=-1)
    floors = [[x for x in ORDER if level[x] == i] for i in range(len(ORDER))]
    floors = list(filter(None, floors))
    place = {
        room: (WIDTH * (i + 0.5) / len(floor), HEIGHT * (len(floors) - 1 - y))
        for y, floor in enumerate(floors)
        for i, room in enumerate(floor)
    }
    (w, h), out = BOX, []
    for room, below in direct(found).items():
        for other in sorted(below):
            (x1, y1), (x2, y2) = place[room], place[other]
            ends = f'x1="{x1:.0f}" y1="{y1 + h + 4:.0f}" x2="{x2:.0f}"'
            out.append(f'<line {ends} y2="{y2 - 3:.0f}"/>')
    for room, (x, y) in place.items():
        box = f'x="{x - w / 2:.0f}" y="{y:.0f}" width="{w}" height="{h}"'
        out.append(f'<rect {box}/>')
        out.append(f'<text x="{x:.0f}" y="{y + 22:.0f}">{room}</text>')
    size = f'0 -6 {WIDTH} {HEIGHT * len(floors) - HEIGHT + h + 12}'
    tip = '<path d="M0 0L7 3L0 6z" fill="#7a8fa6"/></marker></defs>'
    mark = 'refX="6" refY="3" markerWidth="8" markerHeight="8" orient="auto"'
    style = f'<style>{STYLE}</style><defs><marker id="tip" {mark}>{tip}'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{size}">'
    return '\n'.join([head, style, *out, '</svg>', ''])


if __name__ == '__main__':
    PICTURE.write_text(draw(imports()), 'utf-8')
