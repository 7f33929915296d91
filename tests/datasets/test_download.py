import hashlib
import http.server
import os
import threading

import pytest

from pyg_sessaug.datasets import Diginetica, YooChoose
from pyg_sessaug.datasets.log import _download as download

BODY = b'0123456789' * 20_000
DIGEST = hashlib.sha256(BODY).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.server.bodies.get(self.path)
        if body is None and self.path != '/cut':
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header('Content-Length', str(len(body or BODY)))
        self.end_headers()
        self.wfile.write(body or BODY[:-1000])

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    server.bodies = {'/good': BODY, '/changed': BODY[:-1] + b'x'}
    server.url = f'http://127.0.0.1:{server.server_port}'
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_good(server, tmp_path):
    path = tmp_path / 'raw' / 'file'
    download(f'{server.url}/good', str(path), DIGEST)
    assert path.read_bytes() == BODY
    assert os.listdir(path.parent) == ['file']


@pytest.mark.parametrize(
    'name, error, match',
    [
        ('cut', ValueError, r'invalid hash .*by hand'),
        ('changed', ValueError, r'invalid hash .*expected.*by hand'),
        ('none', OSError, r'404.*by hand'),
    ],
)
def test_bad(server, tmp_path, name, error, match):
    with pytest.raises(error, match=match):
        download(f'{server.url}/{name}', str(tmp_path / 'file'), DIGEST)
    assert os.listdir(tmp_path) == []


def test_no_server(tmp_path):
    path = tmp_path / 'typo' / 'file'
    with pytest.raises(OSError, match=r'cannot download http://127.*by hand'):
        download('http://127.0.0.1:9/file', str(path), DIGEST)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize('cls', [Diginetica, YooChoose])
def test_data_sets_verify_what_they_get(server, tmp_path, cls):
    for name in cls.srgnn_sha256:
        server.bodies[f'/{name}'] = b'other'
    with pytest.raises(ValueError, match=r'all_train_seq.*invalid hash'):
        cls(tmp_path, url=server.url)
    assert list(tmp_path.iterdir()) == []


def test_data_set_is_downloaded_once(
    server, tmp_path, srgnn_root, monkeypatch
):
    raw = srgnn_root([[1, 2]] * 10, ([[1]], [2]), root=tmp_path / 'a') / 'raw'
    digests = {}
    for path in raw.iterdir():
        server.bodies[f'/{path.name}'] = path.read_bytes()
        digests[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(YooChoose, 'srgnn_sha256', digests)
    dataset = YooChoose(tmp_path / 'b', url=server.url)
    assert len(dataset) == 9
    assert dataset.raw_sha256 == digests
    server.bodies.clear()
    assert len(YooChoose(tmp_path / 'b', 'val', url=server.url)) == 1


def test_addresses():
    for cls in [Diginetica, YooChoose]:
        assert cls.srgnn_url.startswith('https://raw.githubusercontent.com/')
        assert all(len(x) == 64 for x in cls.srgnn_sha256.values())
