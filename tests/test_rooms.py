"""What `docs/source/rooms.md` says of the rooms of the package."""

import re
from pathlib import Path

from docs import draw_rooms

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / 'pyg_sessaug'


def test_no_room_imports_from_a_higher_one():
    order = draw_rooms.ORDER
    for room, below in draw_rooms.imports().items():
        higher = [x for x in below if order.index(x) > order.index(room)]
        assert not higher, f'{room} imports from {higher}'


def test_every_room_is_known_and_told():
    rooms = {x.stem for x in PACKAGE.iterdir() if x.suffix in ('', '.py')}
    rooms -= {'__init__', '__pycache__', *draw_rooms.COMMANDS}
    assert rooms == set(draw_rooms.ORDER)
    page = (ROOT / 'docs' / 'source' / 'rooms.md').read_text()
    assert re.findall(r'^`(\w+)`$', page, re.MULTILINE) == draw_rooms.ORDER
    assert len(list(PACKAGE.glob('*.py'))) <= 10


def test_the_picture_is_of_today():
    assert draw_rooms.PICTURE.read_text() == draw_rooms.draw(
        draw_rooms.imports()
    )


def test_no_file_is_too_long():
    lengths = {
        path.relative_to(ROOT): len(path.read_text('utf-8').splitlines())
        for folder in ('pyg_sessaug', 'benchmarks', 'tests', 'examples')
        for path in (ROOT / folder).rglob('*.py')
    }
    assert {k: v for k, v in lengths.items() if v > 400} == {}
