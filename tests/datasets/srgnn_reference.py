"""SR-GNN's preprocessing, click by click, and samples as plain lists."""

from collections import Counter

DAY = 86_400


def preprocess(rows, min_item_clicks=5, test_days=7, drop_boundary=True):
    """Splits rows (session, item, order, date) in the order of a log.

    Returns raw item ids by number, training and test sessions.
    """
    clicks, dates = {}, {}
    for session, item, order, date in rows:
        clicks.setdefault(session, []).append((order, item))
        dates[session] = date
    sessions = {}
    for session, pairs in clicks.items():
        if len(pairs) > 1:
            pairs = sorted(pairs, key=lambda pair: pair[0])
            sessions[session] = [item for _, item in pairs]
    count = Counter(i for items in sessions.values() for i in items)
    for session, items in list(sessions.items()):
        items = [i for i in items if count[i] >= min_item_clicks]
        if len(items) < 2:
            del sessions[session]
        else:
            sessions[session] = items
    if not sessions:
        return [], [], []
    split = max(dates[s] for s in sessions) - test_days * DAY
    order = sorted(sessions, key=lambda s: dates[s])
    train = [
        s
        for s in order
        if dates[s] < split or (dates[s] == split and not drop_boundary)
    ]
    test = [s for s in order if dates[s] > split]
    number = {}
    for session in train:
        for item in sessions[session]:
            number.setdefault(item, len(number))
    train = [[number[i] for i in sessions[s]] for s in train]
    test = [[number[i] for i in sessions[s] if i in number] for s in test]
    return list(number), train, [s for s in test if len(s) > 1]


def samples_longest_first(sessions):
    return [(tuple(s[:-i]), s[-i]) for s in sessions for i in range(1, len(s))]


def to_lists(sessions):
    """Sessions as lists of items."""
    return [x.tolist() for x in sessions.item.split(sessions.length.tolist())]


def to_samples(sessions):
    """All (prefix, target) pairs of sessions, sorted."""
    pairs = []
    for target in sessions.target.tolist():
        session = int(sessions.session_of(sessions.target.new_tensor(target)))
        start = int(sessions.ptr[session])
        item = sessions.item[start : target + 1].tolist()
        pairs.append((tuple(item[:-1]), item[-1]))
    return sorted(pairs)
