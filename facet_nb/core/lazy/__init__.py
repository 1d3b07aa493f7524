"""Lazy recordings: corrected samples that are computed where somebody reads them."""
