"""The wings: everything that differs between kinds of records, each kind behind the same contract."""
