"""What others would run instead of `sesacctl consume`, each in its best settings; all store at least once.

`python -m benchmarks.peers NAME GROUP` runs one until it is ended; `__main__` has their names. They are installed from
`benchmarks/requirements.lock` into `.venv-bench` and import nothing of sesacctl.

- confluent-kafka with psycopg2's `execute_values … ON CONFLICT DO NOTHING`: what most would write. 1, 2, 9 processes.
- confluent-kafka with `COPY` by psycopg2 or by psycopg 3: the fastest that can be defended. A batch goes straight into
  the table; only where an order of it is there already, through a temporary table and `ON CONFLICT DO NOTHING`. It
  checks nothing of a message but that JSON has the fields; one bad message ends it. 1, 2, 9 processes.
- aiokafka with asyncpg's `COPY` in binary, with the same way out; two processes, as one uses a core at most.
- Quix Streams with its own PostgreSQL sink, two processes.
- mq-bridge with `bulk_copy`, one process with two tasks: two processes stopped before the last rows in a trial. Reads a
  copy of the topic in LZ4, as the librdkafka in its wheel has no zstd.
- faucet-stream with `write_method: copy`, one process, from the same copy. It is not on PyPI; it takes part if `faucet`
  is on the PATH, and is left out by name otherwise. 1.14.0 needs Rust 1.96, libsasl2-dev and libcurl4-openssl-dev:

      cargo install --locked faucet-cli@1.14.0 --no-default-features --features source-kafka,sink-postgres,transforms

Kafka Connect has a file of its own, `benchmarks/connect_peer.py`.
"""
