"""The HTTP kit, without a product word in it: problems, limits, streams, health."""
