"""A lean HTTP/1.1 server for the request path; its one user is `dataplane.server`.

Which part is where:

    request       one request: what its head says, its body as it comes
    parser        parses requests, and refuses what breaks the protocol (pure)
    connection    one connection: reads requests, has them answered in turn, back-pressure both ways
"""
