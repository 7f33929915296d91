"""Draws the badges of the README from `setup.py` and the registry.

They need no service on the network, and say what a test reads from the code.
"""

import re
from pathlib import Path

from pyg_sessaug import __version__
from pyg_sessaug.registry import COUNTS, MODELS

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / 'docs' / 'source' / '_static' / 'badges.svg'
HEIGHT, GAP, LETTER = 22, 8, 7.2  # Pixels; letters as wide on average
STYLE = """\
text { font: 12px sans-serif; text-anchor: middle; fill: #ffffff }
.name { fill: #47627d }
.value { fill: #2a5a8c }
"""


def badges():
    """The name and the value of each badge."""
    setup = (ROOT / 'setup.py').read_text('utf-8')

    def of_setup(start):
        return re.search(start + r"([\w.]+)'", setup).group(1)

    return {
        'version': __version__,
        'Python': of_setup("python_requires='>=") + '+',
        'PyTorch': of_setup("'torch>=") + '+',
        'PyG': of_setup("'torch-geometric>=") + '+',
        'models': f'{len(MODELS)} networks, {len(COUNTS)} of counts',
        'license': of_setup("license='"),
    }


def draw(found):
    x, out = 0.0, []
    for name, value in found.items():
        for text, kind in ((name, 'name'), (value, 'value')):
            width = LETTER * len(text) + 12
            box = f'x="{x:.1f}" width="{width:.1f}" height="{HEIGHT}"'
            out.append(f'<rect class="{kind}" {box}/>')
            middle = x + width / 2
            out.append(f'<text x="{middle:.1f}" y="15">{text}</text>')
            x += width
        x += GAP
    size = f'width="{x - GAP:.0f}" height="{HEIGHT}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>'
    return '\n'.join([head, f'<style>{STYLE}</style>', *out, '</svg>', ''])


if __name__ == '__main__':
    PICTURE.write_text(draw(badges()), 'utf-8')
