"""An S3 server over a folder, for deployments that have no store: `python -m services.store --root /data`.

With `--eodata` it serves the products of the sandbox under the credentials of the EO data store.
"""
