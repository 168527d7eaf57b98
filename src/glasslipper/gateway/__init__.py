"""The data plane: one API in front of every model.

A request's way reads in `exchange`, top to bottom: decode → authenticate → hold → route →
attempt (→ next attempt) → relay → settle → record.

    server, guard   the wire; app finds the handler of a path
    dialects    wire formats that clients speak
    exchange    one client request and all that serves it
    routing     which endpoint, in which order
    endpoints   what is offered, and what it may cost
    providers   wire formats of upstreams, and where they are
    transport   the HTTP client that calls them
    prices      what they charge
    api         what stands at each address
    account, admin, models   the addresses that are not about answers
"""
