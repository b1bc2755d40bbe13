"""Several processes that serve one port: what a supervisor and its workers say to each other.

A worker is a data plane alone. Table, news of other workers and orders come to it over a pair of
connected sockets; the supervisor, which is `switchgear`'s, starts and restarts it.
"""
