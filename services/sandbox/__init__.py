"""The sandbox: a stand-in on this machine for the public services, with synthetic pixels."""
