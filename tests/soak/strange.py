"""What the soak tests draw: odd words, ids at an edge, damaged bytes."""

import re

from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st

EDGES = [0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, -(10**30)]

words = st.one_of(
    st.sampled_from(
        ['', ' ', '7', '007', '+7', ' 7', '1.0', '1e3', 'nan', 'NA', 'null',
         '-0', '"', 'a"b', 'a,b', 'a;b', '\u0661', '\ufeff7', 'x\ny', '\0',
         '#', 'é', '日本', *map(str, EDGES)]
    ),
    st.text(max_size=4),
)  # fmt: skip
pieces = st.sampled_from(
    [b'\xff', b'\x00', b'\xc3', b'"', b'\n', b'\r', b',', b';', b'\t', b' ',
     b'\xef\xbb\xbf', b'\xed\xa0\x80', b'{', b'9', b'-', b'e5', b'true']
)  # fmt: skip
# Half of them evenly, half with a liking for zeros, hence for ties.
randoms = st.booleans().flatmap(lambda x: st.randoms(use_true_random=x))
FIELD = re.compile(rb'[^,;|:\t\n\[\]{}" ]+')


def cases(share):
    """Draws this share of the profile's number of examples."""
    return settings(
        max_examples=max(1, round(share * settings().max_examples)),
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )


def outcome(errors, function, *args):
    """What a function returns, and the message if it refuses."""
    try:
        result = function(*args)
    except errors as error:
        event('refused')
        return None, str(error)
    event('answered')
    return result, None


@st.composite
def damaged(draw, data):
    """A strategy's text, then changed, cut or put into in one place or two."""
    data = bytearray(draw(data))
    random = draw(randoms)
    for _ in range(draw(st.integers(1, 2))):
        at = random.randrange(max(1, len(data)))
        kind = draw(st.sampled_from(['flip', 'cut', 'put', 'field', 'field']))
        if kind == 'flip' and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == 'cut':
            del data[at:]
        elif kind == 'put':
            data[at:at] = draw(pieces)
        elif field := FIELD.search(data, at):
            data[slice(*field.span())] = draw(words).encode()
    return bytes(data)
