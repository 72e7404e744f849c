"""Finds tasks that are neither waiting nor in anybody's hands, and sends them again.

Run it with `python -m services.reconciler`. More than one does no harm.
"""
