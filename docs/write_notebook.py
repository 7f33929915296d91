"""Writes the page of the five-minute start as a notebook."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / 'docs' / 'source' / 'quickstart.md'
NOTEBOOK = ROOT / 'examples' / 'quickstart.ipynb'
CODE = re.compile(r'^```python\n(.*?)^```$', re.DOTALL | re.MULTILINE)
LINK = re.compile(r'(\]\()(?=[\w/]+\.md)')


def write(page: str) -> str:
    """The page as a notebook: its code as cells, and the text between."""
    cells = []
    for i, part in enumerate(CODE.split(page)):
        source = part.strip('\n').splitlines(keepends=True)
        cell = {'cell_type': 'markdown', 'id': str(i), 'metadata': {}}
        if i % 2:
            cell |= {'cell_type': 'code', 'execution_count': None}
            cell['outputs'] = []
        else:  # Links begin elsewhere.
            source = [LINK.sub(r'\1../docs/source/', x) for x in source]
        cells.append({**cell, 'source': source})
    kernel = {'display_name': 'Python 3', 'language': 'python'}
    notebook = {
        'cells': cells,
        'metadata': {'kernelspec': {**kernel, 'name': 'python3'}},
        'nbformat': 4,
        'nbformat_minor': 5,
    }
    return json.dumps(notebook, indent=1, ensure_ascii=False) + '\n'


if __name__ == '__main__':
    NOTEBOOK.write_text(write(PAGE.read_text('utf-8')), 'utf-8')
