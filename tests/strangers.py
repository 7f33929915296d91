"""Models of somebody else: one method each, none of this package's files."""

import torch
from torch_geometric.utils import to_dense_batch

from pyg_sessaug.nn import GatedSessionConv, SessionModel


class Transformer(SessionModel):
    def __init__(self, num_items, hidden_channels=100, heads=2, **kwargs):
        super().__init__(num_items, hidden_channels, **kwargs)
        self.heads = heads
        self.layer = torch.nn.TransformerEncoderLayer(
            hidden_channels, heads, 2 * hidden_channels, 0.0, batch_first=True
        )

    def session(self, x, data):
        click = data.click_index
        x, known = to_dense_batch(x[click], data.batch[click])
        x = self.layer(x, src_key_padding_mask=~known)
        return x[torch.arange(len(x)), known.sum(dim=1) - 1]


class GCSAN(Transformer):
    def __init__(self, num_items, hidden_channels=100, weight=0.5, **kwargs):
        super().__init__(num_items, hidden_channels, **kwargs)
        self.weight = weight
        self.conv = GatedSessionConv(hidden_channels)

    def session(self, x, data):
        x = self.conv(x, data.edge_index, data.edge_attr)
        last = x[data.click_index[data.click_index_ptr[1:] - 1]]
        return torch.lerp(last, super().session(x, data), self.weight)


class Last(SessionModel):
    """The vector of the last click."""

    def session(self, x, data):
        return x[data.click_index[data.click_index_ptr[1:] - 1]]
