"""Protocols of others, for comparison with what they published; nothing here can be promoted."""
