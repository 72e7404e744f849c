"""Whether a service is well, for the probes of containers: exit code 0, or 1 and the reason.

`python -m services.health` asks the heartbeat of a worker or of the reconciler, with an address such as
http://127.0.0.1:9464/metrics whether that answers, with a port whether somebody listens.
"""
