"""Streams that are kept aside: they judge a finished detector, and nobody develops on them."""
