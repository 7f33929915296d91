import pytest
import torch

from benchmarks.studies import data_statistics


def test_study(run_study, tiny_data, tmp_path):
    results = run_study(data_statistics, name='data_statistics_multimodal')
    splits = [tiny_data(tmp_path, x) for x in ('train', 'val', 'test')]
    sessions = [
        x.tolist()
        for data in splits
        for x in data.flat_sessions.item.split(
            data.flat_sessions.length.tolist()
        )
    ]
    category = splits[0].categories.tolist()
    different = [len({category[i] for i in x}) for x in sessions]
    assert len(sessions) == 300
    samples = [n for x in sessions for n in range(2, len(x) + 1)]
    assert results['statistics'] == {
        'clicks': sum(map(len, sessions)),
        'training sessions': len(splits[0]) + len(splits[1]),
        'test sessions': len(splits[2]),
        'items': 60,
        'average length': pytest.approx(sum(samples) / len(samples)),
        'categories': 4,
        'categories per session': pytest.approx(sum(different) / 300),
    }
    lengths = results['lengths']
    for key, expected in (
        ('sessions', [len(x) for x in sessions]),
        ('samples', samples),
        ('prefixes', [n - 1 for n in samples]),
    ):
        count = torch.tensor(expected).bincount().tolist()
        assert lengths[key]['count'] == count
        long = sum(x >= 10 for x in expected) / len(expected)
        assert lengths[key]['long'] == pytest.approx(long)
    png = tmp_path / 'data_statistics_multimodal.png'
    assert png.stat().st_size > 10_000


@pytest.mark.parametrize('here,thesis,expected', [
    (5.1251, 5.12, 'yes'), (6.158, 6.16, 'yes'), (4.85, 5.12, 'no'),
    (995, 995, 'yes'), (994, 995, 'no'), (None, 336, '–'),
])  # fmt: skip
def test_equal_values(here, thesis, expected):
    assert data_statistics.equal(here, thesis) == expected


@pytest.mark.data
@pytest.mark.parametrize('name,folder', [
    ('diginetica', 'diginetica'), ('yoochoose', 'yoochoose1_64')
])  # fmt: skip
def test_table_of_the_thesis(name, folder, shared_data, tmp_path):
    root = str(shared_data(folder))
    command = ['--dataset', name, '--root', root, '--output', str(tmp_path)]
    data_statistics.main(command)
    table = (tmp_path / f'data_statistics_{name}.md').read_text()
    values = {
        row[1].strip(): row[4].strip()
        for row in (line.split('|') for line in table.splitlines()[2:])
    }
    unknown = ['categories', 'categories per session']
    for key in ('clicks', 'training sessions', 'test sessions', 'items',
                'average length', *unknown):  # fmt: skip
        missing = name == 'yoochoose' and key in unknown
        assert values[key] == ('–' if missing else 'yes')
