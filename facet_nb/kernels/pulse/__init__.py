"""Heartbeats and the pulse artifact."""
