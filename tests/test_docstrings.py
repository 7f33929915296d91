"""Every public class has an example, and what it shows is so."""

import doctest
import inspect
import pickle
from importlib import import_module

import pytest
import torch

from tests.datasets.log_files import (
    diginetica_text,
    otto_text,
    random_clicks,
    write,
    yoochoose_text,
)

MODULES = [
    f'pyg_sessaug{part}'
    for part in (
        '',
        '.clusters',
        '.comparison',
        '.counts',
        '.datasets',
        '.nn',
        '.transforms',
    )
]


def public_classes():
    """By name; a class of several modules once."""
    found = {}
    for name in MODULES:
        module = import_module(name)
        own = [
            key
            for key, value in vars(module).items()
            if getattr(value, '__module__', None) == name and key[0] != '_'
        ]
        for key in getattr(module, '__all__', own):
            if inspect.isclass(getattr(module, key)):
                found[key] = getattr(module, key)
    return found


CLASSES = public_classes()


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Logs and files of the known data sets, and of a shop."""
    folder = tmp_path_factory.mktemp('examples')
    rows = random_clicks(seed=0, num_sessions=200)
    texts = {
        'diginetica/raw/train-item-views.csv': diginetica_text(rows),
        'yoochoose/raw/yoochoose-clicks.dat': yoochoose_text(rows),
        'otto/raw/train.jsonl': otto_text(rows),
        'tmall/raw/train.txt': pickle.dumps(([[1, 2], [1]], [3, 2])),
        'tmall/raw/test.txt': pickle.dumps(([[1, 2], [1]], [3, 2])),
    }
    for name, text in texts.items():
        path = folder / 'data' / name
        write(path.parents[1], path.name, text)
    clicks = [f'{i // 3},{i % 7},{60 * i}' for i in range(300)]
    text = '\n'.join(['session_id,item_id,time', *clicks])
    write(folder / 'shop', 'clicks.csv', text)
    return folder


def test_the_public_classes_are_known():
    assert len(CLASSES) > 45
    assert {'Recommender', 'SRGNN', 'ItemDistance', 'VSKNN'} <= {*CLASSES}


@pytest.mark.parametrize('name', CLASSES)
def test_example(name, folder, monkeypatch):
    cls = CLASSES[name]
    parser = doctest.DocTestParser()
    test = parser.get_doctest(cls.__doc__, {}, name, None, None)
    assert test.examples, f'{name} has no example in its docstring'
    assert sum(x.source.count('\n') for x in test.examples) <= 8
    assert any(x.want for x in test.examples)
    monkeypatch.chdir(folder)
    torch.manual_seed(0)
    runner = doctest.DocTestRunner(verbose=False)
    out = []
    runner.run(test, out=out.append)
    assert not runner.failures, ''.join(out)
