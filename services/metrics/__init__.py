"""What Prometheus can scrape: the account's quota, the queues, the work that is pending.

Run it with `python -m services.metrics --port 9464`.
"""
