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
import time
from contextlib import asynccontextmanager, suppress
from typing import Any, AsyncIterator, Dict, List, Tuple

import torch
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from pyg_sessaug import Recommender


class Service:
    """A recommender, those who wait for it, and what it counted."""

    def __init__(self, path: str, max_k: int, batch: int) -> None:
        self.path, self.max_k, self.batch = path, max_k, batch
        self.stamp = self.look()
        self.take(Recommender.load(path))
        self.waiting: asyncio.Queue[Tuple[List[Any], Any]] = asyncio.Queue()
        names = ('requests', 'bad_requests', 'batches', 'loads', 'refusals')
        self.counts = dict.fromkeys(names, 0)

    def take(self, recommender: Recommender) -> None:
        self.recommender, size = recommender, len(recommender.item_ids)
        since = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())
        self.about: Dict[str, Any] = {'since': since, 'items': size}

    def look(self) -> Tuple[int, int, int]:
        stat = os.stat(self.path)
        return stat.st_mtime_ns, stat.st_size, stat.st_ino

    async def answer(self) -> None:
        while True:
            group = [await self.waiting.get()]
            while len(group) < self.batch and not self.waiting.empty():
                group.append(self.waiting.get_nowait())
            ask, sessions = self.recommender.recommend, [x for x, _ in group]
            found: List[Any]
            try:
                found = await asyncio.to_thread(ask, sessions, k=self.max_k)
            except Exception as error:  # One's fault must not end all.
                logging.exception('a batch failed')
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
            self.about['refused'] = str(error)
            self.counts['refusals'] += 1
            logging.error('refused %s: %s', self.path, error)
        else:
            self.take(new)
            self.counts['loads'] += 1

    async def recommend(self, request: Request) -> JSONResponse:
        self.counts['requests'] += 1
        try:
            body = await request.json()
            names = list(body) if isinstance(body, dict) else []
            if names not in (['session'], ['session', 'k'], ['k', 'session']):
                raise ValueError(f'got {names}, pass `session` and maybe `k`')
            session, k = body['session'], body.get('k', self.max_k)
            ids = session if isinstance(session, list) else [{}]
            if bad := [x for x in ids if type(x) not in (int, str)]:
                raise ValueError(f'`session` is no list of ids: {bad[0]!r}')
            if type(k) is not int or not 1 <= k <= self.max_k:
                raise ValueError(f'`k` must be in 1 to {self.max_k}: {k!r}')
        except (ValueError, RecursionError) as error:  # JSON's own, too
            self.counts['bad_requests'] += 1
            return JSONResponse({'error': f'body: {error}'}, 400)
        future = asyncio.get_running_loop().create_future()
        await self.waiting.put((session, future))
        found = await future
        if isinstance(found, Exception):
            return JSONResponse({'error': str(found)}, 500)
        answer = {'items': found.items[:k], 'fallback': found.fallback}
        return JSONResponse({**answer, 'unknown': found.unknown})

    async def health(self, request: Request) -> JSONResponse:
        return JSONResponse({'refused': None, **self.about})

    async def metrics(self, request: Request) -> PlainTextResponse:
        lines = [f'sessaug_{k}_total {v}\n' for k, v in self.counts.items()]
        waiting = f'sessaug_waiting {self.waiting.qsize()}\n'
        return PlainTextResponse(''.join([*lines, waiting]))

    @asynccontextmanager
    async def run(self, app: Starlette) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(x()) for x in (self.answer, self.watch)]
        yield  # Until all requests are answered
        for task in tasks:
            task.cancel()


def main() -> None:
    kind = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=kind)
    add = parser.add_argument
    add('path', help='what Recommender.save() wrote')
    add('--host', default='127.0.0.1', help='to listen at')
    add('--port', type=int, default=8000, help='to listen at')
    add('--max-k', type=int, default=20, help='items of an answer, at most')
    add('--batch', type=int, default=128, help='sessions at once, at most')
    add('--threads', type=int, default=1, help='of torch')
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if not os.path.exists(args.path):
        parser.error(f'there is no {args.path}')
    service = Service(args.path, args.max_k, args.batch)
    names = ('health', 'metrics')
    routes = [Route(f'/{x}', getattr(service, x)) for x in names]
    routes.append(Route('/recommend', service.recommend, methods=['POST']))
    app = Starlette(routes=routes, lifespan=service.run)
    uvicorn.run(app, host=args.host, port=args.port, access_log=False)


if __name__ == '__main__':
    main()
