"""Invented event streams as a newcomer's topic would hold them, and what `profile` and `evaluate` make of them."""
