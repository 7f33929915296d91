import re
from pathlib import Path

README = Path(__file__).parents[1] / 'README.md'


def test_code_of_the_readme_runs(tmp_path, monkeypatch):
    section = README.read_text('utf-8').split('## Drop it into')[1]
    code = re.search(r'```python\n(.*?)```', section, re.DOTALL).group(1)
    assert len(code.strip().splitlines()) <= 13
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)
    assert names['x'].size() == (names['data'].num_nodes, 64)
    assert (names['data'].edge_weight != 1).any()
