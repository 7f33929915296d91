import pytest
import torch

from tests.nn.loss import sharded_run
from tests.training.test_distributed import torchrun


@pytest.fixture(scope='module')
def two(tmp_path_factory):
    """What each of two processes found."""
    root = tmp_path_factory.mktemp('sharded')
    process = torchrun(sharded_run.__file__, root)
    _, error = process.communicate()
    assert process.returncode == 0, error
    return [torch.load(root / str(i)) for i in range(2)]


def test_losses_and_gradients_are_those_of_one_process(two):
    losses, grads, table = sharded_run.one()
    assert losses[-1] < losses[0]
    for result in two:
        assert (result['losses'] - losses).abs().max() <= 1e-5
        assert (result['table'] - table).abs().max() <= 1e-4
        for grad, expected in zip(result['grads'], grads):
            assert float(expected.abs().max()) > 1e-3
            assert (grad - expected).abs().max() <= 1e-5


def test_a_process_holds_its_part(two):
    assert [x['bytes'] for x in two] == [501 * 8 * 4, 500 * 8 * 4]
    for result in two:
        assert result['placements'] == '(Shard(dim=0),)'
        # Scores of its own items, for instance, and never those of all.
        assert result['largest'] <= 501 * sharded_run.BATCH * 4


def test_ranks_are_those_of_one_process(two):
    for result in two:
        assert torch.equal(result['rank'], result['expected_rank'])
        assert int(result['rank'].max()) > 501


def test_rows_are_drawn_by_each_process(two):
    table = two[0]['drawn']
    assert torch.equal(table, two[1]['drawn'])
    assert float(table.std()) == pytest.approx(0.5, abs=0.02)
    assert table.unique(dim=0).size(0) == sharded_run.ITEMS
    # Batches drawn next are the same.
    assert torch.equal(two[0]['next'], two[1]['next'])


def test_a_process_without_rows_is_refused(two):
    for result in two:
        assert result['error'] == (
            '1 items over 2 processes, 1 each, leave the last one none; '
            'start 1 processes'
        )
