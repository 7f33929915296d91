r"""Downloads that are checked and leave nothing half-done."""

import hashlib
import os
import os.path as osp
import urllib.request
from http.client import HTTPException
from uuid import uuid4

from tqdm import tqdm


def sha256(path: str) -> str:
    r"""SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, 'rb') as f:
        while chunk := f.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def download(url: str, path: str, digest: str) -> None:
    r"""Downloads a file that appears only once its contents are checked.

    Args:
        url (str): Its address.
        path (str): Where to put it; the folder is made.
        digest (str): Its SHA-256 in hexadecimal digits.

    Raises:
        OSError: If the file cannot be fetched or written.
        ValueError: If its contents are others than :obj:`digest` says.
    """
    temporary = f'{path}.{uuid4().hex}.part'
    by_hand = f'fetch it by hand and put it at {path}'
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            # Not before: a misspelt folder is not made for nothing.
            os.makedirs(osp.dirname(path), exist_ok=True)
            size = response.headers.get('Content-Length')
            total = None if size is None else int(size)
            with (
                open(temporary, 'xb') as f,
                tqdm(
                    desc=osp.basename(path),
                    total=total,
                    unit='B',
                    unit_scale=True,
                ) as bar,
            ):
                while chunk := response.read(1 << 16):
                    f.write(chunk)
                    bar.update(len(chunk))
                if total is not None and f.tell() != total:
                    raise OSError(
                        f'the connection ended after {f.tell()} of {total} '
                        f'bytes'
                    )
        found = sha256(temporary)
        if found != digest:
            raise ValueError(
                f'{url} has SHA-256 {found}, expected {digest}: it was '
                f'changed or cut short; try again or {by_hand}'
            )
        os.replace(temporary, path)
    except (OSError, HTTPException) as error:
        raise OSError(
            f'there is no {path}, and cannot download {url}: {error}; try '
            f'again, pass `url` for another address, or {by_hand}'
        ) from error
    finally:
        if osp.exists(temporary):
            os.unlink(temporary)
