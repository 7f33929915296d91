import pytest

from benchmarks.experiments.datasets import YooChoose100k, load


def log(path, sessions, day):
    lines = ['SessionId\tItemId\tTime']
    for session in sessions:
        time = 86_400 * day + 10 * session
        lines += [f'{session}\t{7 + i}\t{time + i}.25' for i in range(3)]
    path.write_text('\n'.join(lines) + '\n')


def test_last_day_is_the_test_set(tmp_path):
    # The published folder has no raw/ in it.
    log(tmp_path / 'train_full.txt', range(20), day=1)
    log(tmp_path / 'test.txt', range(20, 26), day=3)
    split = {
        name: YooChoose100k(
            tmp_path, name, val_ratio=0.25, processed_root=tmp_path / 'out'
        )
        for name in ('train', 'val', 'test')
    }
    assert [x.sessions for x in split.values()] == [15, 5, 6]
    assert split['train'].num_items == 3
    assert split['test'].item_ids.tolist() == [7, 8, 9]
    time = split['test'].flat_sessions.time
    assert time.view(6, 3)[0].tolist() == [
        86_400 * 3 + 200 + i + 0.25 for i in range(3)
    ]


def test_one_file_alone_is_an_error(tmp_path):
    log(tmp_path / 'train_full.txt', range(20), day=1)
    with pytest.raises(FileNotFoundError, match=r"not \['test.txt'\]"):
        YooChoose100k(tmp_path, processed_root=tmp_path / 'out')


@pytest.mark.data
def test_real_clicks_are_those_of_a_week(shared_data, tmp_path):
    root = shared_data('yoochoose_100k')
    train, val, test = (
        load('yoochoose_100k', root, x, processed_root=tmp_path)
        for x in ('train', 'val', 'test')
    )
    # Of 83,846 clicks, without those of rare items and single clicks.
    assert 70_000 < train.clicks + val.clicks + test.clicks < 83_846
    first = train.flat_sessions.time.min()
    last = test.flat_sessions.time.max()
    assert 5.9 < (last - first) / 86_400 < 7.1
    assert train.flat_sessions.time.max() < last - 86_400 + 7200
