"""Bars show where something is slow, in a terminal, and nowhere else."""

import io
import time
from functools import partial

import pytest
import torch
from tqdm import tqdm

from pyg_sessaug.clusters.item_clusters import gaussian_mixture, kmeans
from pyg_sessaug.data import progress
from pyg_sessaug.datasets.reading import connect


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Makes a terminal for errors, whose bars come at once."""

    def make():
        screen = Terminal()
        monkeypatch.setattr('sys.stderr', screen)
        return screen

    monkeypatch.setattr(progress, 'DELAY', 0)
    monkeypatch.setattr(progress, 'INTERVAL', 0.01)
    eager = partial(tqdm, mininterval=0, miniters=1)
    monkeypatch.setattr(progress, 'tqdm', eager)
    return make


def test_a_bar_is_for_slow_work_in_a_terminal(terminal, monkeypatch):
    screen = terminal()
    assert list(progress.progress_bar('abc', 'letters')) == ['a', 'b', 'c']
    assert 'letters' in screen.getvalue()
    assert screen.getvalue().endswith('\r')  # It is gone.
    for hidden in ('delay', 'wanted', 'quiet', 'file'):
        other = io.StringIO() if hidden == 'file' else Terminal()
        monkeypatch.setattr('sys.stderr', other)
        monkeypatch.setattr(progress, 'DELAY', 5 * (hidden == 'delay'))
        with progress.quietly(hidden == 'quiet'):
            list(progress.progress_bar('abc', 'x', hidden != 'wanted'))
        assert other.getvalue() == ''


def test_watched_work_follows_its_percentage(terminal):
    screen = terminal()
    steps = iter([10, 60, 20, 90])  # Two, one after the other

    def percent():
        return next(steps, 90)

    with progress.watched(percent, 'work'):
        for _ in range(1000):  # Until it has been seen
            time.sleep(0.01)
            if 'work:  90%' in screen.getvalue():
                break
    text = screen.getvalue()
    shown = [text.index(f'work:  {x}%') for x in (10, 60, 20, 90)]
    assert shown == sorted(shown)


def test_duckdb_tells_how_far_it_is_and_prints_nothing(terminal, capfd):
    screen = terminal()
    with connect() as con:
        (total,) = con.execute(
            'select sum(hash(a.range, b.range) % 7) from range(10000) a, '
            'range(1000) b'
        ).fetchone()
    assert total > 0
    assert capfd.readouterr().out == ''
    assert 'read:' in screen.getvalue()


def test_iterations_leave_a_fit_as_it_is(terminal, monkeypatch, capfd):
    screen = terminal()
    torch.manual_seed(0)
    points = torch.randn(300, 2).double()
    found = []
    for _ in range(2):
        torch.manual_seed(1)
        mixture, clusters = gaussian_mixture(points, 3), kmeans(points, 3)
        found.append([mixture.means_, clusters.cluster_centers_])
        assert mixture.verbose == clusters.verbose == 0
        monkeypatch.setattr('sys.stderr', io.StringIO())
    for shown, hidden in zip(*found):
        assert (shown == hidden).all()
    text = screen.getvalue()
    assert 'KMeans' in text
    assert 'mixture:   1%|' in text
    assert capfd.readouterr().out == ''
