r"""Layers, models and losses for session graphs."""

from pyg_sessaug.nn.attention_readout import AttentionReadout
from pyg_sessaug.nn.channel_combination import ChannelCombination
from pyg_sessaug.nn.covariance_srgnn import CovarianceSRGNN
from pyg_sessaug.nn.functional import catalogue_cross_entropy
from pyg_sessaug.nn.gated_session_conv import GatedSessionConv
from pyg_sessaug.nn.session_model import SessionModel
from pyg_sessaug.nn.srgnn import SRGNN
from pyg_sessaug.nn.switch_case import SwitchCase
from pyg_sessaug.nn.tagnn import TAGNN
from pyg_sessaug.nn.target_attention import (
    target_attention_cross_entropy,
    target_attention_scores,
)

__all__ = [
    'AttentionReadout',
    'ChannelCombination',
    'CovarianceSRGNN',
    'GatedSessionConv',
    'SRGNN',
    'SessionModel',
    'SwitchCase',
    'TAGNN',
    'catalogue_cross_entropy',
    'target_attention_cross_entropy',
    'target_attention_scores',
]
