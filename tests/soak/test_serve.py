"""The server of examples/serve.py under load, changes of its file, kills."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import torch

from pyg_sessaug import Recommender
from pyg_sessaug.nn import SRGNN

pytest.importorskip('starlette')
pytest.importorskip('uvicorn')
pytestmark = pytest.mark.soak

SERVER = Path(__file__).parents[2] / 'examples' / 'serve.py'
PER_SECOND, SECONDS, CONNECTIONS = 200, 20, 20


def write(path, num_items, seed):
    torch.manual_seed(seed)
    ids = [f'item {i}' for i in range(num_items)]
    made = Recommender(SRGNN(num_items, 8), ids, torch.arange(num_items))
    made.save(path)
    return made


@pytest.fixture
def start(tmp_path):
    running = []

    def start(path):
        with socket.socket() as probe:
            probe.bind(('127.0.0.1', 0))
            port = probe.getsockname()[1]
        command = [sys.executable, SERVER, path, '--port', str(port)]
        with open(tmp_path / 'log', 'a') as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        running.append(process)
        url = f'http://127.0.0.1:{port}'
        for _ in range(600):
            assert process.poll() is None, (tmp_path / 'log').read_text()
            try:
                get(url, 'health')
                return process, port, url
            except urllib.error.URLError:
                time.sleep(0.1)
        raise AssertionError('the server did not start')

    yield start
    for process in running:
        process.kill()
        process.wait()


def get(url, name, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(f'{url}/{name}', data, timeout=30) as answer:
        text = answer.read().decode()
    return text if name == 'metrics' else json.loads(text)


def until(condition):
    for _ in range(300):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError('it did not come true within 30 seconds')


async def client(port, number, answers):
    """Asks at its times on one connection; keeps status and answer."""
    reader, writer = await asyncio.open_connection('127.0.0.1', port)
    begin = time.monotonic()
    for i in range(PER_SECOND * SECONDS // CONNECTIONS):
        at = begin + (i * CONNECTIONS + number) / PER_SECOND
        await asyncio.sleep(max(0.0, at - time.monotonic()))
        body = json.dumps({'session': [f'item {i % 50}'], 'k': 5}).encode()
        writer.write(
            b'POST /recommend HTTP/1.1\r\nHost: x\r\n'
            b'Content-Length: %d\r\n\r\n' % len(body) + body
        )
        head = await reader.readuntil(b'\r\n\r\n')
        size = int(head.lower().split(b'content-length: ')[1].split()[0])
        answer = json.loads(await reader.readexactly(size))
        answers.append((head.split()[1], i % 50, answer))
    writer.close()


async def load(port, change):
    answers = []
    clients = [client(port, i, answers) for i in range(CONNECTIONS)]
    await asyncio.gather(*clients, asyncio.to_thread(change))
    return answers


def test_serves_under_load_while_its_file_changes(start, tmp_path):
    path = tmp_path / 'shop.pt'
    old = write(path, 60, seed=0)
    process, port, url = start(path)
    news = []

    def change():
        time.sleep(SECONDS / 4)
        news.append(write(path, 70, seed=1))
        until(lambda: get(url, 'health')['items'] == 70)
        time.sleep(SECONDS / 4)
        path.write_bytes(path.read_bytes()[:-100])
        until(lambda: get(url, 'health')['refused'])
        assert get(url, 'health')['items'] == 70

    answers = asyncio.run(load(port, change))
    assert len(answers) == PER_SECOND * SECONDS
    assert {status for status, _, _ in answers} == {b'200'}
    expected = [
        [made.recommend([f'item {i}'], k=5).items for i in range(50)]
        for made in (old, *news)
    ]
    seen = set()
    for _, i, answer in answers:
        lists = [made[i] for made in expected]
        assert answer['items'] in lists
        seen.add(lists.index(answer['items']))
    assert seen == {0, 1}
    total = f'sessaug_requests_total {len(answers)}'
    assert total in get(url, 'metrics')
    process.terminate()
    assert process.wait(30) in (0, -signal.SIGTERM)


def test_says_what_is_wrong_and_comes_back_after_a_kill(start, tmp_path):
    path = tmp_path / 'shop.pt'
    made = write(path, 60, seed=0)
    process, _, url = start(path)
    for body, text in (
        ({}, 'got [], pass `session`'),
        ([], 'got [], pass `session`'),
        (['session'], 'got [], pass `session`'),
        ({'session': 3}, 'no list of ids'),
        ({'session': [], 'k': 0}, 'in 1 to 20'),
        ({'session': [], 'allow': []}, "got ['session', 'allow']"),
    ):
        with pytest.raises(urllib.error.HTTPError, match='400') as error:
            get(url, 'recommend', body)
        assert text in json.loads(error.value.read())['error']
    assert get(url, 'health')['since']
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    _, _, url = start(path)
    question = {'session': ['item 3', 'new'], 'k': 7}
    answer = get(url, 'recommend', question)
    assert answer['items'] == made.recommend(question['session'], 7).items
    assert answer['unknown'] == ['new']
