import pytest


@pytest.fixture
def timed_log(tmp_path):
    """The files of YooChoose100k, with sessions of 4 clicks."""

    def write(name, sessions, day):
        lines = ['SessionId\tItemId\tTime']
        for session in sessions:
            time = 86_400.0 * day + 10 * session
            for i in range(4):
                time += 7 * (session % 3) + 40 * i
                lines.append(f'{session}\t{(session * i) % 7}\t{time}')
        (tmp_path / name).write_text('\n'.join(lines) + '\n')

    write('train_full.txt', range(60), day=1)
    write('test.txt', range(60, 80), day=3)
    return tmp_path
