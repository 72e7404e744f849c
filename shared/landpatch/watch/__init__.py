"""The live page of `landpatch serve`: what the workers do, patch by patch.

    lookout   asks the ledger, once for all who look
    feed      tells each client what is new to it, as server-sent events
    app       the page and what it asks for; access: who may
    static/   the page itself: plain ES modules, nothing is built

All of it only reads.
"""
