"""Heart beats and the pulse artifact."""
