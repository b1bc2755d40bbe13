"""The demo: a tiny model that is made on the spot, real servers that serve it, and a story.

Nothing here is needed to run the sidecar. The tests use the model and the server too.
"""
