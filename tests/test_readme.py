import random
import re
from pathlib import Path

import pytest
import torch

from docs import draw_badges

ROOT = Path(__file__).parents[1]
README = ROOT / 'README.md'
PAGES = [
    *ROOT.glob('*.md'),
    ROOT / 'examples' / 'README.md',
    ROOT / 'benchmarks' / 'README.md',
    *(ROOT / 'docs' / 'source').rglob('*.md'),
]
LINK = re.compile(r'!?\[[^\]]*\]\(([^)\s]+)\)')


def blocks():
    return re.findall(r'^```python\n(.*?)^```$', README.read_text('utf-8'),
                      re.DOTALL | re.MULTILINE)  # fmt: skip


def write_log():
    """One of three items follows each, so that all can be hit."""
    random.seed(0)
    lines = ['session_id,item_id,time']
    for visit in range(400):
        item = random.randrange(30)
        for click in range(random.randint(1, 6)):
            lines.append(f'{visit},sku-{item},{86_400 * visit // 20 + click}')
            item = (item + random.randint(0, 2)) % 30
    path = Path('shop/raw/clicks.csv')
    path.parent.mkdir(parents=True)
    path.write_text('\n'.join(lines))


@pytest.mark.parametrize('number', range(len(blocks())))
def test_code_runs(number, tmp_path, monkeypatch, capsys):
    code = blocks()[number]
    assert len([x for x in code.splitlines() if x]) <= (12, 16)[number]
    monkeypatch.chdir(tmp_path)
    write_log()
    torch.manual_seed(0)
    exec(compile(code, 'README.md', 'exec'), {'__name__': 'readme'})
    out = capsys.readouterr().out
    share = float(re.search(r"'HR@\d+': ([\d.]+)", out)[1])
    assert share > (0.95, 0.4)[number]


def slugs(page):
    """Anchors of the headings of a page, as GitHub makes them."""
    text = re.sub(r'^```.*?^```$', '', page.read_text('utf-8'),
                  flags=re.DOTALL | re.MULTILINE)  # fmt: skip
    for head in re.findall(r'^#+ (.+)$', text, re.MULTILINE):
        plain = re.sub(r'\[([^\]]*)\]\([^)]*\)', r'\1', head).lower()
        yield re.sub(r'[^\w\- ]', '', plain).replace(' ', '-')


@pytest.mark.parametrize('page', PAGES, ids=lambda x: str(x.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = page.read_text('utf-8')
    assert not re.findall(r'\{(?:class|doc|func|meth|ref|attr)\}`', text)
    for link in LINK.findall(text):
        if re.match(r'[a-z]+:', link):
            continue
        path, _, anchor = link.partition('#')
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in slugs(target), link


def test_badges_are_of_today():
    badges = draw_badges.badges()
    assert draw_badges.PICTURE.read_text() == draw_badges.draw(badges)
    setup = (ROOT / 'setup.py').read_text('utf-8')
    assert f"python_requires='>={badges['Python'].rstrip('+')}'" in setup
