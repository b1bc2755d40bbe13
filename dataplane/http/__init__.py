"""HTTP/1.1 for the request path: a lean client, whose one user is `dataplane.transport`.

It does what a proxy needs of a client and nothing else, with as few objects for each request as
that takes. The server is in `inbound`, with a table of its own. Which part is where:

    head          URLs, and the bytes of a request's head
    answer        parses answers, and refuses what breaks the protocol (pure)
    connection    one connection: writes requests, reads answers, back-pressure both ways
    idle          connections that wait to be used again, their limits and their end
    connect       names, addresses, TLS
    client        one exchange: takes a connection, sends, replays a dead one, gives it back
    failures      what goes wrong, as UpstreamFailed
"""
