"""The durable record: keys, accounts, budgets, generations and late facts.

    write   what the gateway, flows and the command line may do
    read    what anyone above may ask; `read.scan` is the whole ledger as tables for SQL
    lake    what it looks like once it is sealed
    tables  the two kinds of file, and the words of their columns

How a call is recorded exactly once:

1. `write.purse` keeps back the most that the call may cost, from what the state file has
   granted to this process.
2. `write.recorder` appends the *intent* to this process's journal, before the upstream is called.
3. The bytes relayed are counted in a cell that survives the process.
4. The *generation* is appended to the journal; only then is the answer's end acknowledged.
5. `write.rows` and `write.counters` copy the journal into tables that can be queried. Each
   remembers in its own file, in the same transaction, how far it has come: a line is counted
   once, however often the copying is interrupted.
6. At the next start `write.recovery` closes what a crash left open.

So the journal is the truth, and every counter can be rebuilt from the rows.
"""
