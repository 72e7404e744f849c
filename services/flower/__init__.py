"""Flower, which watches the workers, behind its password: `python -m services.flower --db flower.db`."""
