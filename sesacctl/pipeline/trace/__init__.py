"""Where one event is: every hop between the producer's ledger and its row."""
