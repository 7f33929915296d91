"""Speed and memory of preparing logs.

Writes a generated log as CSV and in each official format, prepares it, and
reports CPU time a click and the peak memory of the process that prepares it.
"""

import json
import os
import platform
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.experiments import options
from benchmarks.experiments.results import command, rows, write
from benchmarks.speed.memory import alone, peak_mb

START = 1_396_828_800_000  # Milliseconds of 2014-04-07T00:00:00Z
DAY = 86_400_000
NUM_SESSIONS = 100_000  # Written at a time


def generate(num_clicks, seed):
    """Yields sessions, items and milliseconds, oldest session first."""
    rng = np.random.default_rng(seed)
    first, done = 0, 0
    # 5 clicks a session on average:
    span = 28 * DAY / max(1, num_clicks / 5)
    while done < num_clicks:
        length = 1 + rng.geometric(0.25, NUM_SESSIONS)
        owner = np.repeat(np.arange(NUM_SESSIONS), length)
        owner = owner[: num_clicks - done]
        session = first + owner
        begin = np.cumsum(length) - length
        place = np.arange(owner.size) - begin[owner]
        start = START + (session * span).astype(np.int64)
        yield {
            'session': session,
            'item': (500 * rng.pareto(1.0, owner.size)).astype(np.int64)
            % 100_000,
            'place': place,
            'time': start + place * rng.integers(1000, 60_000, owner.size),
        }
        first += NUM_SESSIONS
        done += owner.size


def write_diginetica(raw, table, append):
    day, timeframe = np.divmod(table['time'], DAY)
    date = day.astype('datetime64[D]').astype(str)
    with open(raw / 'train-item-views.csv', 'a') as f:
        if not append:
            f.write('sessionId;userId;itemId;timeframe;eventdate\n')
        f.writelines(
            f'{session};NA;{item};{ms};{text}\n'
            for session, item, ms, text in zip(
                table['session'], table['item'], timeframe, date
            )
        )
    if not append:
        lines = [f'{item};{item % 1217}\n' for item in range(100_000)]
        text = ''.join(['itemId;categoryId\n', *lines])
        (raw / 'product-categories.csv').write_text(text)


def write_yoochoose(raw, table, append):
    stamp = table['time'].astype('datetime64[ms]').astype(str)
    kinds = ['S', '0', *map(str, range(1, 13)), '2089046524']
    with open(raw / 'yoochoose-clicks.dat', 'a') as f:
        f.writelines(
            f'{session},{text}Z,{item},{kinds[item % len(kinds)]}\n'
            for session, item, text in zip(
                table['session'], table['item'], stamp
            )
        )


def write_otto(raw, table, append):
    events = [
        f'{{"aid":{item},"ts":{ms},"type":"clicks"}}'
        for item, ms in zip(table['item'], table['time'])
    ]
    starts = np.append(np.flatnonzero(table['place'] == 0), len(events))
    with open(raw / 'train.jsonl', 'a') as f:
        for start, end in pairwise(starts):
            f.write(
                f'{{"session":{table["session"][start]},'
                f'"events":[{",".join(events[start:end])}]}}\n'
            )


def write_own(raw, table, append):
    seconds = table['time'] // 1000
    with open(raw / 'clicks.csv', 'a') as f:
        if not append:
            f.write('session_id,item_id,time,event\n')
        f.writelines(
            f'{session},{item},{second},view\n'
            for session, item, second in zip(
                table['session'], table['item'], seconds
            )
        )


WRITERS = {
    'SessionLog': write_own,
    'Diginetica': write_diginetica,
    'YooChoose': write_yoochoose,
    'Otto': write_otto,
}


def write_log(name, root, num_clicks, seed):
    raw = Path(root) / 'raw'
    raw.mkdir(parents=True)
    for i, table in enumerate(generate(num_clicks, seed)):
        WRITERS[name](raw, table, append=i > 0)


def prepare(name, root, num_clicks):
    from pyg_sessaug import datasets

    begin = time.process_time()
    start = time.perf_counter()
    dataset = getattr(datasets, name)(root)
    seconds = time.perf_counter() - start
    cpu = time.process_time() - begin
    return {
        'clicks': num_clicks,
        'raw_bytes': sum(x.stat().st_size for x in Path(root).glob('raw/*')),
        'seconds': round(seconds, 2),
        'clicks_per_second': round(num_clicks / seconds),
        'cpu_seconds': round(cpu, 2),
        'peak_rss_gib': round(peak_mb() / 1024, 2),
        'num_items': dataset.num_items,
        'train_samples': len(dataset),
    }


def table(formats):
    cells = [
        ('', '{name}'),
        ('clicks', '{clicks:,}'),
        ('µs CPU a click',
         lambda x: f'{1e6 * x["cpu_seconds"] / x["clicks"]:.2f}'),
        ('peak GiB', '{peak_rss_gib:.2f}'),
    ]  # fmt: skip
    found = [{'name': name, **row} for name, row in formats.items()]
    return rows(found, cells)


def main():
    output = 'runs/prepare/prepare.json'
    parser = options.parser(__doc__, 'seed output', output=output)
    add = parser.add_argument
    add('--clicks', type=int, default=10_000_000, help='of each log')
    add('--formats', nargs='+', choices=WRITERS, default=list(WRITERS))
    args = parser.parse_args()

    results = {}
    for name in args.formats:
        with tempfile.TemporaryDirectory() as root:
            alone(write_log, name, root, args.clicks, args.seed)
            results[name] = alone(prepare, name, root, args.clicks)
        print(name, json.dumps(results[name]), flush=True)
    report = {
        'command': command('speed/prepare.py'),
        'about': f'{os.cpu_count()} CPUs, Python {platform.python_version()}',
        'table': table(results),
        'seed': args.seed,
        'cpus': os.cpu_count(),
        'machine': platform.machine(),
        'python': platform.python_version(),
        'formats': results,
    }
    write(args.output, report)


if __name__ == '__main__':
    main()
