"""`python -m pyg_sessaug recommend`: lines in, lines out."""

import io
import json
import select
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyg_sessaug import Recommender
from pyg_sessaug.__main__ import main
from pyg_sessaug.nn import SRGNN
from pyg_sessaug.serving.lines import join_ids, read_blocks, split_ids

IDS = [f'i{i}' for i in range(12)]
ODD = ['red shoes', 'a,b', '5" pipe', '"Gold" ring', 'ü', *IDS[5:]]


def save(path, ids=IDS):
    torch.manual_seed(0)
    model = SRGNN(len(ids), hidden_channels=4)
    Recommender(model, ids, torch.arange(len(ids))).save(path)
    return str(path)


@pytest.fixture(scope='module')
def file(tmp_path_factory):
    return save(tmp_path_factory.mktemp('shop') / 'shop.pt')


@pytest.fixture
def stdin(monkeypatch):
    def give(data):
        stream = io.TextIOWrapper(io.BytesIO(data), encoding='utf-8')
        monkeypatch.setattr('sys.stdin', stream)

    return give


def fails(capsys, *argv):
    with pytest.raises(SystemExit) as error:
        main(list(argv))
    assert error.value.code not in (0, None)
    return f'{error.value.code} {capsys.readouterr().err}'


def test_one_session_of_arguments(file, capsys):
    recommender = Recommender.load(file)
    expected = recommender.recommend(['i3', 'i4'], k=4).items
    for argv in (
        [file, 'i3', 'i4', '-k', '4'],
        [file, '-k', '4', 'i3', 'i4'],
        ['-k', '4', file, 'i3', 'i4'],
        [file, '-k', '4', '--', 'i3', 'i4'],
    ):
        main(['recommend', *argv])
        assert capsys.readouterr().out == ' '.join(expected) + '\n'

    options = ['-k', '3', '--exclude-clicked', '--block', 'i5', '--format']
    main(['recommend', file, *options, 'json', '--', 'i3', 'zzz'])
    out = json.loads(capsys.readouterr().out)
    expected = recommender.recommend(['i3', 'zzz'], 3, True, ['i5'], True)
    assert out == expected._asdict()


def test_lines(file, capsys, stdin):
    stdin('\ufeffi3, i4\r\n\nzzz\ni1'.encode())
    main(['recommend', file, '-k', '2', '--separator', ','])
    sessions = [['i3', 'i4'], [], ['zzz'], ['i1']]
    expected = Recommender.load(file).recommend(sessions, 2)
    out, err = capsys.readouterr()
    assert out.splitlines() == [','.join(x.items) for x in expected]
    assert err.splitlines() == [
        'session 2: no known item, these are the most popular ones',
        "session 3: unknown items ['zzz']; no known item, these are the "
        'most popular ones',
    ]


def test_broken_lines(file, capsys, stdin):
    stdin(b'i3 i4\ni3 \xff i4\ni3 i4 ' + b'9' * 5000 + b'\n')
    main(['recommend', file, '-k', '3'])
    out, error = capsys.readouterr()
    assert len(out.splitlines()) == 3
    assert len(set(out.splitlines())) == 1
    assert r"session 2: unknown items ['\\xff']" in error
    assert "session 3: unknown items ['999" in error


def test_each_line_is_answered_when_it_comes(file):
    """A program at the other end of a pipe may wait for it."""
    command = [sys.executable, '-m', 'pyg_sessaug', 'recommend', file]
    process = subprocess.Popen(
        [*command, '-k', '3'], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    recommender = Recommender.load(file)
    for session in (['i3', 'i4'], ['i5'], ['i1', 'i1', 'i2']):
        process.stdin.write(' '.join(session).encode() + b'\n')
        process.stdin.flush()
        assert select.select([process.stdout], [], [], 120)[0]
        answer = process.stdout.readline().decode()
        assert answer.split() == recommender.recommend(session, 3).items
    rest, _ = process.communicate(b'i7')
    assert rest.decode().split() == recommender.recommend(['i7'], 3).items


class Pieces:
    """A stream that gives the pieces it is made of, as pipes do."""

    def __init__(self, *pieces):
        self.pieces = list(pieces)

    def read1(self, size):
        return self.pieces.pop(0) if self.pieces else b''


def test_blocks_are_what_has_come():
    blocks = read_blocks(Pieces(b'1 2\n3', b' 4', b'\n', b'5\n6\n', b'7'))
    assert list(blocks) == [['1 2'], ['3 4'], ['5', '6'], ['7']]
    blocks = list(read_blocks(io.BytesIO(b'1\n' * 1300)))
    assert [x for block in blocks for x in block] == ['1'] * 1300
    assert max(map(len, blocks)) <= 512
    assert len(blocks) == 3
    assert list(read_blocks(Pieces())) == []
    assert list(read_blocks(Pieces('\ufeff1 2'.encode()))) == [['1 2']]


texts = st.text(st.sampled_from('ab0 ,\t"\'-ü'), min_size=1)


@given(
    st.lists(texts.filter(lambda x: x == x.strip()), min_size=1),
    st.sampled_from([None, ',', '\t', '|', '-', ' ']),
)
def test_a_line_is_read_as_it_was_written(ids, separator):
    assert split_ids(join_ids(ids, separator) + '\n', separator) == ids


def test_quotes_that_are_none():
    assert split_ids('5" "Gold" "a b"c "x') == [
        '5"',
        'Gold',
        '"a',
        'b"c',
        '"x',
    ]
    assert split_ids('a,,"b,c" , "d', ',') == ['a', '', 'b,c', '"d']


@pytest.mark.parametrize('separator', [None, ','])
def test_odd_ids_survive(tmp_path, capsys, stdin, separator):
    path = save(tmp_path / 'odd.pt', ODD)
    option = [] if separator is None else ['--separator', separator]
    recommender = Recommender.load(path)
    sessions = [ODD[:2], ODD[2:5], ODD[::-1]]
    lines = ''.join(join_ids(x, separator) + '\n' for x in sessions)
    stdin(lines.encode())
    main(['recommend', path, *option])
    out, error = capsys.readouterr()
    assert error == ''
    for line, result in zip(out.splitlines(), recommender.recommend(sessions)):
        assert split_ids(line, separator) == result.items
    if separator is None:
        main(['recommend', path, 'red shoes', 'a,b', '-k', '3'])
        out, error = capsys.readouterr()
        assert error == ''
        expected = recommender.recommend(ODD[:2], 3).items
        assert split_ids(out) == expected


def test_a_separator_among_ids(file, capsys):
    main(['recommend', file, 'i3,i4', '-k', '2'])
    error = capsys.readouterr().err
    assert "ids separated so need --separator ','" in error
    main(['recommend', file, 'i3,i4', '-k', '2', '--separator', ','])
    (line,) = capsys.readouterr().out.splitlines()
    expected = Recommender.load(file).recommend(['i3', 'i4'], 2).items
    assert line == ','.join(expected)
    main(['recommend', file, 'a b', 'i3', '--format', 'json'])
    assert json.loads(capsys.readouterr().out)['unknown'] == ['a b']
    message = fails(capsys, 'recommend', file, '--separator', '::', 'i3')
    assert 'not one character' in message


def test_block_and_allow(file, capsys, tmp_path):
    options = ['--block', 'i4', 'i3', '--block', 'i5', '--block', 'l5']
    main(['recommend', file, *options, '-k', '12'])
    out, error = capsys.readouterr()
    recommender = Recommender.load(file)
    ranked = recommender.recommend(['i3'], 12).items
    assert out.split() == [x for x in ranked if x not in ('i4', 'i5')]
    assert error == "unknown items to block: ['l5']\n"
    message = fails(capsys, 'recommend', file, 'i1', '--block', 'i4', 'i3')
    assert 'i1 and i3 stand in two places' in message

    stock, gone = tmp_path / 'stock.txt', tmp_path / 'gone.txt'
    stock.write_text('\ufeffi1\r\ni2\n\ni4\n')
    gone.write_text('i2\n')
    options = ['--allow-file', str(stock), '--allow', 'i9', 'i3']
    main(['recommend', file, *options, '--block-file', str(gone)])
    out, error = capsys.readouterr()
    assert out.split() == [x for x in ranked if x in ('i1', 'i4', 'i9')]
    assert error == ''
    message = fails(capsys, 'recommend', file, 'i3', '--allow', 'red shoes')
    assert 'none of the 1 items to allow is known' in message
    message = fails(capsys, 'recommend', file, 'i3', '--allow-file', 'no.txt')
    assert 'no.txt' in message


def test_negative_ids(tmp_path, capsys):
    path = str(tmp_path / 'a.pt')
    Recommender(SRGNN(3, hidden_channels=4), [-3, 2, 7]).save(path)
    outs = []
    for argv in (['-3', '2', '-k', '3'], ['-k', '3', '2', '-3']):
        main(['recommend', path, *argv])
        outs.append(capsys.readouterr().out.split())
    assert set(outs[0]) & {'-3', '2', '7'} == {'-3', '2', '7'}
    message = fails(capsys, 'recommend', path, '2', '-k3', '-x')
    assert 'unrecognized' in message
