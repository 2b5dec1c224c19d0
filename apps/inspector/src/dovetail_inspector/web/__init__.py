"""The web face: `access` says who may come in, `routes` what there is, `streaming` the events, `serving` runs it.

The page itself is in ``page/``, built from the ``page/`` folder of the distribution.
"""
