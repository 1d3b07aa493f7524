"""Tools of the course's notebooks: forecasts, answers, games and data.

Plain functions that say something useful without widgets, network or shipped answers in the
notebook. Importing it loads no MNE, no plotting and no widgets.
"""

from __future__ import annotations

from facet_nb.lessons.answers import Answer, choose, order
from facet_nb.lessons.chain_game import ChainScore, score_chain
from facet_nb.lessons.constructed import CAUSES, ConstructedRun, construct
from facet_nb.lessons.forecasts import Forecast, interval_score, list_forecasts, predict, reveal
from facet_nb.lessons.games import FitScore, deal_cards, score_cards, score_fit
from facet_nb.lessons.recordings import write_header_only
from facet_nb.lessons.tables import list_tables, load_table, merge_folder

__all__ = [
    "CAUSES",
    "Answer",
    "ChainScore",
    "ConstructedRun",
    "FitScore",
    "Forecast",
    "choose",
    "construct",
    "deal_cards",
    "interval_score",
    "list_forecasts",
    "list_tables",
    "load_table",
    "merge_folder",
    "order",
    "predict",
    "reveal",
    "score_cards",
    "score_chain",
    "score_fit",
    "write_header_only",
]
