"""Recommendations by HTTP. Needs the extra `serve` of this package.

    python examples/serve.py shop.pt --port 8000
    curl localhost:8000/recommend -d '{"session": ["shoes", "socks"], "k": 5}'

Requests that wait are answered together. A new file under the same name is
taken over while the old model answers; one that cannot be read is refused,
and /health says so. SIGTERM answers what has arrived, then ends.
"""

import argparse
import asyncio
import logging
import os
from contextlib import asynccontextmanager, suppress
from typing import Any, AsyncIterator, Dict, List, Optional, Tuple

import torch
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from pyg_sessaug import Recommender

logger = logging.getLogger('uvicorn.error')


class Service:
    """A recommender, those who wait for it, and what it counted."""

    def __init__(self, path: str, max_k: int, batch: int) -> None:
        self.path, self.max_k, self.batch = path, max_k, batch
        self.stamp = self.look()
        self.recommender = Recommender.load(path)
        self.refused: Optional[str] = None
        self.waiting: asyncio.Queue[Tuple[List[Any], Any]] = asyncio.Queue()
        names = ('requests', 'bad_requests', 'batches', 'loads', 'refusals')
        self.counts = dict.fromkeys(names, 0)

    def look(self) -> Tuple[int, int, int]:
        stat = os.stat(self.path)
        return stat.st_mtime_ns, stat.st_size, stat.st_ino

    async def answer(self) -> None:
        while True:
            group = [await self.waiting.get()]
            while len(group) < self.batch and not self.waiting.empty():
                group.append(self.waiting.get_nowait())
            sessions = [session for session, _ in group]
            found: List[Any]
            try:
                found = await asyncio.to_thread(
                    self.recommender.recommend, sessions, k=self.max_k
                )
            except Exception as error:  # One's fault must not end all.
                logger.exception('a batch failed')
                found = [error] * len(group)
            self.counts['batches'] += 1
            for (_, future), result in zip(group, found):
                if not future.done():  # Else its client has gone.
                    future.set_result(result)

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            with suppress(FileNotFoundError):  # About to be replaced
                if (stamp := self.look()) != self.stamp:
                    self.stamp = stamp
                    await self.load()

    async def load(self) -> None:
        try:
            new = await asyncio.to_thread(Recommender.load, self.path)
            new.recommend(new.item_ids[:1])  # Answers at all, and is warm.
        except Exception as error:
            self.refused = str(error)
            self.counts['refusals'] += 1
            logger.error('refused %s: %s', self.path, error)
        else:
            self.recommender, self.refused = new, None
            self.counts['loads'] += 1

    async def recommend(self, request: Request) -> JSONResponse:
        self.counts['requests'] += 1
        try:
            body = await request.json()
            session, k = body['session'], body.get('k', self.max_k)
            if not isinstance(session, list) or not all(
                isinstance(x, (int, str)) and x is not True and x is not False
                for x in session
            ):
                raise ValueError('`session` must be a list of ids')
            if type(k) is not int or not 1 <= k <= self.max_k:
                raise ValueError(f'`k` must be in 1 to {self.max_k}')
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self.counts['bad_requests'] += 1
            return JSONResponse({'error': str(error)}, 400)
        future = asyncio.get_running_loop().create_future()
        await self.waiting.put((session, future))
        found = await future
        if isinstance(found, Exception):
            return JSONResponse({'error': str(found)}, 500)
        answer = {'items': found.items[:k], 'fallback': found.fallback}
        return JSONResponse({**answer, 'unknown': found.unknown})

    async def health(self, request: Request) -> JSONResponse:
        size = len(self.recommender.item_ids)
        return JSONResponse({'items': size, 'refused': self.refused})

    async def metrics(self, request: Request) -> PlainTextResponse:
        numbers: Dict[str, int] = dict(self.counts)
        lines = [f'sessaug_{k}_total {v}\n' for k, v in numbers.items()]
        lines.append(f'sessaug_waiting {self.waiting.qsize()}\n')
        return PlainTextResponse(''.join(lines))

    @asynccontextmanager
    async def run(self, app: Starlette) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(x()) for x in (self.answer, self.watch)]
        yield  # Until all requests are answered
        for task in tasks:
            task.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('path', help='what Recommender.save() wrote')
    parser.add_argument('--host', default='127.0.0.1')
    parser.add_argument('--port', type=int, default=8000)
    parser.add_argument('--max-k', type=int, default=20)
    parser.add_argument('--batch', type=int, default=128)
    parser.add_argument('--threads', type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    service = Service(args.path, args.max_k, args.batch)
    routes = [
        Route('/recommend', service.recommend, methods=['POST']),
        Route('/health', service.health),
        Route('/metrics', service.metrics),
    ]
    app = Starlette(routes=routes, lifespan=service.run)
    uvicorn.run(app, host=args.host, port=args.port, access_log=False)


if __name__ == '__main__':
    main()
