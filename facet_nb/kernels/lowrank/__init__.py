"""Artifact models of low rank."""
