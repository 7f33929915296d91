r"""OTTO."""

from dataclasses import replace
from typing import Any, Iterable, Union

from pyg_sessaug.datasets.columns import Options, read_events
from pyg_sessaug.datasets.log import LogDataset
from pyg_sessaug.datasets.preprocess import Clicks

EVENT_TYPES = ('clicks', 'carts', 'orders')


class Otto(LogDataset):
    r"""Events of an online shop, from OTTO's RecSys data set.

    Reads ``train.jsonl`` or ``train.jsonl.gz`` as published, or SR-GNN's
    files if someone made them. A session of the log is all that a user did
    in four weeks; :obj:`session_gap=3600` cuts it wherever an hour passes
    without an event. The last 7 days are for testing. There are no
    categories.

    Args:
        root (str): Folder with the raw files in :obj:`root/raw`.
        split (str): :obj:`"train"`, :obj:`"val"` or :obj:`"test"`.
            (default: :obj:`"train"`)
        **kwargs (optional): Further arguments of
            :class:`~pyg_sessaug.datasets.LogDataset`, with
            :obj:`event_types` (:obj:`["clicks"]`): which of
            :obj:`"clicks"`, :obj:`"carts"` and :obj:`"orders"` to read.
    """

    log_names = ('train.jsonl',)
    log_address = (
        'https://www.kaggle.com/datasets/otto/recsys-dataset '
        '(needs an account)'
    )
    log_defaults = {**LogDataset.log_defaults, 'event_types': ['clicks']}

    def __init__(
        self,
        *args: Any,
        event_types: Union[str, Iterable[str]] = ('clicks',),
        **kwargs: Any,
    ) -> None:
        types = {event_types} if isinstance(event_types, str) else event_types
        types = set(types or ())
        if not types or types - set(EVENT_TYPES):
            raise ValueError(
                f'Otto: unknown `event_types` {event_types!r}; choose from '
                f'{list(EVENT_TYPES)}'
            )
        kwargs['event_types'] = [x for x in EVENT_TYPES if x in types]
        super().__init__(*args, **kwargs)

    def read_clicks(self) -> Clicks:
        clicks = read_events(
            self.raw_paths[0],
            self.log_options['event_types'],
            Options(memory_limit=self.memory_limit, folder=self.processed_dir),
        )
        return replace(clicks, time=clicks.time.double() / 1000)
