"""Writes the results in benchmarks/results/ into the pages that quote them.

A page quotes a result between ``<!-- results: NAME -->`` and
``<!-- end of results -->``, where NAME.json is the file that run.py,
baselines.py, search.py or, with a NAME like studies/categories, a study wrote;
NAME is ``summary`` for a line on each file of run.py, ``summary-whole`` for
those on whole data.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any, Dict, Match, Optional, Tuple

from benchmarks import search
from benchmarks.experiments.methods import parse_method
from benchmarks.experiments.report import (
    METRICS,
    interval,
    markdown,
    published,
    tables,
)

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / 'benchmarks' / 'results'
QUOTE = re.compile(
    r'(<!-- results: (\S+) -->\n).*?(<!-- end of results -->)', re.DOTALL
)


def render(page: str) -> str:
    """The page with every quoted result as its file has it."""

    def quote(match: 'Match[str]') -> str:
        if match[2] in ('summary', 'summary-whole'):
            table = summary(whole=match[2] == 'summary-whole')
            return f'{match[1]}\n{table}\n\n{match[3]}'
        path = RESULTS / f'{match[2]}.json'
        if not path.exists():
            raise ValueError(
                f'a page quotes {path.name}, which is not in {RESULTS.name}/; '
                f'copy the results.json of its run there'
            )
        results = json.loads(path.read_text())
        if 'study' in results:
            text = f'{markdown(results["table"])}\n\n{where(results, path)}\n'
        elif 'search' in results:
            text = f'{markdown(search.table(results))}\n\n{cost(results)}\n'
        else:
            text = f'{describe(results)}\n\n{tables(results)}'
        return f'{match[1]}\n{text}\n{match[3]}'

    return QUOTE.sub(quote, page)


def cost(results: Dict[str, Any]) -> str:
    """What a search took."""
    count = len(results['candidates'])
    minutes = results['seconds'] / 60
    return f'({count} models, seed 0, {minutes:.0f} minutes of training)'


def summary(whole: bool = False) -> str:
    """What run.py found: the base, the best augmentation and its control.

    A base alone on part of the data has no line; if ``whole``, nothing on
    part of the data has one.
    """
    head = ['data', 'model', 'base', 'thesis', 'published', 'best augmented']
    head += ['HR@20 over the base [95 %]', 'p (Holm)', 'its control']
    lines = [head]
    files = [json.loads(x.read_text()) for x in sorted(RESULTS.glob('*.json'))]
    compared = [x for x in files if {'runs', 'metrics'} <= x.keys()]
    for results in sorted(compared, key=place):
        settings, metrics = results['settings'], results['metrics']
        hits = metrics['HR@20']
        share = settings['fraction']
        line = [
            data_of(settings),
            variant(settings),
            pair({x: metrics[x]['base']['mean'] for x in METRICS}),
            pair(results['thesis'].get('base')),
            pair(published(settings)),
        ]
        augmented = [x for x in hits if is_augmentation(x)]
        if share != 1 and (whole or not augmented):
            continue
        if augmented:
            best = max(augmented, key=lambda x: hits[x]['mean'])
            row = hits[best]
            line += [best, interval(row), f'{row["p_holm"]:.4f}']
            control = control_of(best)
            line += [interval(hits[control])] if control in hits else []
        lines.append(line + ['–'] * (len(head) - len(line)))
    return markdown(lines)


def data_of(settings: Dict[str, Any]) -> str:
    """A data set, and which share of it where that is not all."""
    share = settings['fraction']
    return settings['dataset'] + (f' × {share:.4g}' if share != 1 else '')


def place(results: Dict[str, Any]) -> Tuple[str, float, str, float]:
    """Where a row goes: whole data first, plain models before others."""
    settings = results['settings']
    return (
        settings['dataset'],
        -settings['fraction'],
        settings['model'],
        settings.get('scale') or 0,
    )


def is_augmentation(name: str) -> bool:
    """Whether a method augments graphs and is no control."""
    method = parse_method(name)
    changed = method.weights or method.blur or name.startswith('inject')
    return bool(changed) and not method.shuffled


def control_of(name: str) -> str:
    """The method that differs in knowing nothing of the items, or in its
    graphs alone.
    """
    if name == 'inject-same':
        return 'inject'  # An item of any other category is a random one.
    if name == 'blur':
        return 'base-wd-patience'
    weights, noblur, _ = name.partition('-noblur')
    return f'{weights}-shuffled{noblur}'


def pair(values: Optional[Dict[str, float]]) -> str:
    """HR@20 and MRR@20 as papers print them."""
    if not values:
        return '–'
    return ' / '.join(f'{values[metric]:.2f}' for metric in METRICS)


def variant(settings: Dict[str, Any]) -> str:
    """A model, with what differs from the thesis' protocol."""
    parts = [settings['model'].upper(), settings['precision']]
    if settings.get('scale') is not None:
        parts.append(f'cosine scores × {settings["scale"]:g}')
    if settings.get('dropout'):
        parts.append(f'dropout {settings["dropout"]:g}')
    if settings['num_layers'] != 2:
        parts.append(f'layers {settings["num_layers"]}')
    if settings['num_clusters'] != 8:
        parts.append(f'{settings["num_clusters"]} clusters')
    if settings.get('inject_p') not in (None, 0.5):  # 0.5 is the default.
        parts.append(f'injection p {settings["inject_p"]:g}')
    if settings['weight_decay'] != 1e-5:
        parts.append(f'weight decay {settings["weight_decay"]:g}')
    if settings['schedule'] == 'steps':
        parts.append('stretched schedule')
    return ', '.join(parts)


def describe(results: dict) -> str:
    """What was run, in a sentence or two."""
    settings, data = results['settings'], results['data']
    seeds = sorted({run['seed'] for run in results['runs']})
    share = settings['fraction']
    return (
        f'{variant(settings)}; {data["name"]}'
        f'{"" if share == 1 else f", newest {share:.4g} of the sessions"}: '
        f'{data["train"]["samples"]:,} training, '
        f'{data["val"]["samples"]:,} validation and '
        f'{data["test"]["samples"]:,} test samples, '
        f'{data["test_unseen_target_share"]:.1%} of the test targets unseen '
        f'in training, {data["test_repeat_share"]:.1%} clicked before in '
        f'their session; {"seed" if len(seeds) == 1 else "seeds"} '
        f'{", ".join(map(str, seeds))}.'
    )


def where(results: dict, path: Path) -> str:
    """On what data and model a study ran, and its file."""
    settings, parts = results['settings'], []
    trained = settings.get('run_settings')
    if trained:
        parts.append(f'{trained["model"].upper()}, {trained["precision"]}')
    if 'dataset' in settings:
        share = settings['fraction']
        kept = '' if share == 1 else f', newest {share:.4g} of the sessions'
        parts.append(f'{settings["dataset"]}{kept}')
    if 'seeds' in settings or 'seed' in settings:  # Counts draw nothing.
        seeds = settings.get('seeds') or [settings['seed']]
        parts.append(f'seed {", ".join(map(str, seeds))}')
    return f'({"; ".join(parts)}; `{path.relative_to(ROOT)}`)'


def pages() -> list:
    """The pages that may quote results."""
    docs = ROOT / 'docs' / 'source'
    readmes = [ROOT / 'README.md', ROOT / 'benchmarks' / 'README.md']
    return [*readmes, *sorted(docs.glob('**/*.md'))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--check', action='store_true', help='fail if a page is out of date'
    )
    check = parser.parse_args().check
    for path in pages():
        old = path.read_text()
        new = render(old)
        if new != old and check:
            sys.exit(f'{path.name} is out of date; run benchmarks/render.py')
        if new != old:
            path.write_text(new)


if __name__ == '__main__':
    main()
